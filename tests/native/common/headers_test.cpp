// Checks the headers that the CPU and CUDA kernels share: known answers, whose file is the
// argument, and every small function against a plain loop. nvcc compiles it for the device too.

#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "common/bijection.h"
#include "common/bits.h"
#include "common/layout.h"
#include "common/normal.h"
#include "common/philox.h"
#include "common/rounding.h"
#include "common/select.h"

namespace {

using namespace dsr;

int failures = 0;

void check_equal(int64_t got, int64_t expected, const std::string& what) {
  if (got == expected) return;
  ++failures;
  std::printf("%s: expected %" PRId64 ", got %" PRId64 "\n", what.c_str(), expected, got);
}

void check_philox(std::istringstream& line, const std::string& text) {
  uint32_t in[6];
  line >> std::hex;
  for (uint32_t& word : in) line >> word;
  const PhiloxWords out = philox4x32({{in[0], in[1], in[2], in[3]}}, in[4], in[5]);
  for (uint32_t word : out.word) {
    uint32_t expected = 0;
    line >> expected;
    check_equal(word, expected, text);
  }
}

// Every float16 and bfloat16 but the NaNs comes back from float32.
template <typename Type>
void check_rounding(uint32_t inf, const std::string& what) {
  for (uint32_t stored = 0; stored < 1u << 16; ++stored) {
    if ((stored & 0x7FFFu) > inf) continue;
    const float value = value_of<Type>(static_cast<uint16_t>(stored));
    check_equal(rounded_to(Type{}, value), stored, what);
  }
}

void check_places(std::istringstream& line, const std::string& text) {
  RandomStream stream = {};
  int64_t size = 0;
  line >> stream.seed >> stream.purpose >> stream.layer >> stream.reallocation >> size;
  std::vector<int64_t> ranks;
  for (std::string word; line >> word && word != ">";) ranks.push_back(std::stoll(word));
  const Bijection bijection = make_bijection(size, stream);
  for (const int64_t rank : ranks) {
    int64_t expected = -1;
    line >> expected;
    check_equal(permute(rank, bijection), expected, text);
  }
  check_equal(line.fail(), 0, "a whole line: " + text);
}

int check_known_answers(const char* path) {
  std::ifstream file(path);
  int lines = 0;
  for (std::string text; std::getline(file, text); ++lines) {
    std::istringstream line(text);
    std::string kind;
    line >> kind;
    if (kind == "philox") check_philox(line, text);
    if (kind == "place") check_places(line, text);
  }
  return lines;
}

void check_stream() {
  const RandomStream stream = {0x0123456789ABCDEFu, 0x8001, 53, 7};
  const PhiloxWords high = random_words((int64_t{0xABCD} << 32) + 5, stream);
  const PhiloxWords same = philox4x32({{5, 0x8001ABCDu, 53, 7}}, 0x89ABCDEFu, 0x01234567u);
  for (int i = 0; i < 4; ++i) check_equal(high.word[i], same.word[i], "random_words past 2^32");
}

void check_bijection() {
  for (int64_t size = 1; size <= 300; ++size) {
    const Bijection bijection = make_bijection(size, {9, 1, 2, static_cast<uint32_t>(size)});
    std::vector<int> hits(size);
    for (int64_t rank = 0; rank < size; ++rank) ++hits.at(permute(rank, bijection));
    for (const int hit : hits) check_equal(hit, 1, "each place once, size " + std::to_string(size));
  }
  const int64_t sizes[] = {1, 2, 3, 4, 5, 8, 9, 16, 17, int64_t{1} << 31, (int64_t{1} << 31) + 1};
  const int bits[] = {0, 1, 2, 2, 4, 4, 4, 4, 5, 31, 32};
  for (int i = 0; i < 11; ++i) check_equal(domain_bits(sizes[i]), bits[i], "domain_bits");
  check_equal(domain_bits(3'000'000'000), 32, "domain_bits");
}

void check_word(uint32_t word, uint32_t source) {
  int count = 0;
  uint32_t deposited = 0;
  for (int bit = 0; bit < kWordBits; ++bit) {
    if (!((word >> bit) & 1u)) continue;
    if (count == 0) check_equal(lowest_bit(word), bit, "lowest_bit");
    check_equal(select_bit(word, count), bit, "select_bit");
    deposited |= ((source >> count) & 1u) << bit;
    ++count;
  }
  check_equal(popcount(word), count, "popcount");
  check_equal(deposit_bits(source & low_bits(count), word), deposited, "deposit_bits");
}

void check_words() {
  for (int count = 0; count <= kWordBits; ++count) {
    check_equal(low_bits(count), (int64_t{1} << count) - 1, "low_bits");
    check_equal(unit_bits(2, 64 + count), (int64_t{1} << count) - 1, "unit_bits");
    check_word(low_bits(count), 0x9E3779B9u);
    check_word(~low_bits(count), 0x9E3779B9u);
  }
  check_equal(unit_bits(2, 1000), kAllActive, "unit_bits of a whole word");
  check_equal(unit_bits(2, 10), 0, "unit_bits behind the layer");
  for (int64_t i = 0; i < 20'000; ++i) {
    const PhiloxWords random = random_words(i, {});
    check_word(random.word[0], random.word[2]);
    check_word(random.word[0] & random.word[1] & random.word[3], random.word[2]);
    check_word(random.word[0] | random.word[1] | random.word[3], random.word[2]);
  }
}

void check_large_offsets() {
  const int64_t units = 3'000'000'000;
  // Zero pages that stay untouched take no memory.
  auto* words = static_cast<uint32_t*>(std::calloc(words_for(units) + 1, sizeof(uint32_t)));
  check_equal(words != nullptr, 1, "memory for 3e9 bits");
  for (const int64_t unit : {int64_t{1} << 31, (int64_t{1} << 31) + 77, units - 1}) {
    words[unit / 32] |= 1u << (unit % 32);
    check_equal(is_active(words, unit), 1, "is_active past 2^31");
    check_equal(is_active(words, unit - 1), 0, "is_active past 2^31");
    check_equal(bits_from(words, unit - 9), 1u << 9, "bits_from past 2^31");
  }
  std::free(words);
  check_equal(unit_bits(words_for(units - 3) - 1, units - 3), low_bits(29), "unit_bits past 2^31");

  const int64_t big = (int64_t{1} << 31) + 11;
  const int64_t table[2 * kTableColumns] = {5, 1, 1, 0, 0, big, 9, 3, big + 1, big + 2};
  const LayerShape shape = read_layer(table, 1);
  check_equal(shape.units(), 3 * big, "units past 2^32");
  check_equal(shape.elements(), 27 * big, "elements past 2^32");
  check_equal(shape.word_offset, big + 1, "word offset past 2^31");
  for (const int64_t o : {int64_t{7}, int64_t{79'536'432}, int64_t{159'072'863}, big - 1}) {
    for (int64_t u = 0; u < shape.unit_size; ++u) {
      for (int64_t i = 0; i < shape.inner; ++i) {
        const int64_t element = (o * shape.unit_size + u) * shape.inner + i;
        check_equal(unit_of(element, shape), o * shape.inner + i, "unit_of past 2^31");
      }
    }
  }
}

}  // namespace

#ifdef __CUDACC__
// Compiles every function for the device.
__global__ void use_headers(const int64_t* table, const uint32_t* words, int64_t* out) {
  const LayerShape shape = read_layer(table, blockIdx.x);
  const Bijection bijection = make_bijection(shape.units(), {1, 2, blockIdx.x, 3});
  const int64_t place = permute(threadIdx.x, bijection);
  const uint32_t word = bits_from(words, place) & unit_bits(place / kWordBits, shape.units());
  const int set = popcount(word);
  out[threadIdx.x] = unit_of(place, shape) + is_active(words, place) + lowest_bit(word) +
                     select_bit(word, set / 2) + deposit_bits(low_bits(set), word) +
                     rounded_to(Float16{}, standard_normal(word));
}
#endif

int main(int, char** arguments) {
  const int lines = check_known_answers(arguments[1]);
  check_equal(lines > 50, 1, "known answers were read");
  check_stream();
  check_bijection();
  check_words();
  check_large_offsets();
  check_rounding<Float16>(0x7C00u, "float16");
  check_rounding<BFloat16>(0x7F80u, "bfloat16");
  std::printf("%d failures\n", failures);
  return failures == 0 ? 0 : 1;
}
