"""grow_random_ once more in Python integers, written without the package: Philox and Feistel."""

WORD = 1 << 32


def philox(counter, key):
    c, k = list(counter), list(key)
    for _ in range(10):
        first, second = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [second // WORD ^ c[1] ^ k[0], second % WORD, first // WORD ^ c[3] ^ k[1], first % WORD]
        k = [(k[0] + 0x9E3779B9) % WORD, (k[1] + 0xBB67AE85) % WORD]
    return c


def words(index, seed, purpose, layer, reallocation):
    counter = (index % WORD, index // WORD + (purpose << 16), layer, reallocation % WORD)
    return philox(counter, (seed % WORD, seed // WORD))


def hash32(x):
    x ^= x >> 16
    x = x * 0x85EBCA6B % WORD
    x ^= x >> 13
    x = x * 0xC2B2AE35 % WORD
    return x ^ x >> 16


def network_bits(size):
    bits = 0
    while 1 << bits < size:
        bits += 1
    return 4 if bits == 3 else bits


def once(x, bits, keys):
    width = (bits + 1) // 2
    high, low = divmod(x, 1 << width)
    for r, key in enumerate(keys):
        if r % 2 == 0:
            low ^= hash32(high ^ key) % (1 << width)
        else:
            high ^= hash32(low ^ key) % (1 << (bits - width))
    return (high << width) + low


def place_of_rank(rank, size, keys):
    place = once(rank, network_bits(size), keys)
    while place >= size:
        place = once(place, network_bits(size), keys)
    return place


def grow_random(bits, previous, counts, seed, reallocation, purpose):
    """Set the grown bits; return how many in each layer."""
    grown = []
    for layer, wanted in enumerate(counts):
        done = 0
        for just_pruned in (False, True):
            number = purpose + 0x8000 * just_pruned
            keys = [w for i in range(3) for w in words(i, seed, number, layer, reallocation)]
            free = [
                u
                for u, bit in enumerate(bits[layer])
                if not bit and previous[layer][u] == just_pruned
            ]
            ranks = range(max(0, min(wanted - done, len(free))))
            for rank in ranks:
                bits[layer][free[place_of_rank(rank, len(free), keys)]] = True
            done += len(ranks)
        grown.append(done)
    return grown
