"""Models of other libraries train sparse without a change to them.

These libraries are no dependency: each test is skipped by name where its library is missing.
"""

import pytest
import torch
from nets import assert_promises, is_positive_zero
from torch import nn

import dsr
from dsr.models import resnet50

METHOD = dsr.DSR(sparsity=0.8, period=1, stop=None)
METHODS = {
    "dsr": dsr.DSR(sparsity=0.8, period=5),
    "set": dsr.SET(sparsity=0.8, period=5),
    "rigl": dsr.RigL(sparsity=0.8, period=5),
    "sparse-momentum": dsr.SparseMomentum(sparsity=0.8, period=5),
    "static": dsr.Static(sparsity=0.8),
}
OPTIMIZERS = {
    "sgd": lambda parameters: torch.optim.SGD(parameters, lr=0.02, momentum=0.9),
    "adamw": lambda parameters: torch.optim.AdamW(parameters, lr=2e-3),
}
IMAGES = (2, 3, 32, 32)
TOKENS = torch.arange(12).reshape(2, 6)


@pytest.fixture(autouse=True)
def one_thread():
    """Small networks gain nothing from threads, and lose much on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(threads)


def library(name):
    return pytest.importorskip(name, reason=f"{name} is not installed: pip install {name}")


def train_one_step(model, loss_of, **options):
    """One step that moves units; returns the sparsifier after checking what it promises."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    sparse = dsr.sparsify(model, METHOD, optimizer=optimizer, **options)
    loss = loss_of(model)
    loss.backward()
    optimizer.step()
    assert torch.isfinite(loss)
    assert sparse.stats().reallocations == 1
    assert sparse.stats().active == sparse.budget
    parameters = dict(model.named_parameters())
    for name, mask in sparse.masks().items():
        assert not parameters[name].detach()[~mask].any(), name
    return sparse


def image_loss(model):
    return nn.functional.cross_entropy(model(torch.randn(IMAGES)), torch.tensor([0, 1]))


def token_loss(model):
    return model(input_ids=TOKENS, labels=TOKENS).loss


def test_torchvision_resnet18():
    models = library("torchvision").models
    sparse = train_one_step(models.resnet18(num_classes=4), image_loss)
    convolutions_after_the_first = 19
    assert len(sparse.masks()) == convolutions_after_the_first + 1
    assert "conv1.weight" not in sparse.masks()


def test_weights_of_torchvision_resnet50_fit_ours():
    theirs, ours = library("torchvision").models.resnet50().eval(), resnet50().eval()
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(IMAGES)
    torch.testing.assert_close(ours(x), theirs(x))


def test_timm_vision_transformer():
    sizes = {"img_size": 32, "patch_size": 8, "embed_dim": 48, "depth": 2, "num_heads": 3}
    model = library("timm").create_model("vit_tiny_patch16_224", num_classes=4, **sizes)
    sparse = train_one_step(model, image_loss)
    linear = ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")
    expected = [f"blocks.{i}.{name}.weight" for i in range(2) for name in linear]
    assert list(sparse.masks()) == [*expected, "head.weight"]


def test_transformers_llama_leaves_the_tied_output_dense():
    transformers = library("transformers")
    config = transformers.LlamaConfig(
        vocab_size=32,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=True,
    )
    sparse = train_one_step(transformers.LlamaForCausalLM(config), token_loss)
    projections = 7  # query, key, value, output, gate, up, down
    assert len(sparse.masks()) == projections * config.num_hidden_layers
    assert not any("lm_head" in name or "embed" in name for name in sparse.masks())


def gpt2(method="dsr", optimizer="sgd", **options):
    """A sparse GPT-2 without dropout, whose linear layers store their weights as [in, out]."""
    transformers = library("transformers")
    torch.manual_seed(0)
    sizes = {"vocab_size": 32, "n_positions": 8, "n_embd": 32, "n_layer": 2, "n_head": 4}
    dropout = dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), 0.0)
    config = transformers.GPT2Config(**sizes, **dropout)
    model = transformers.GPT2LMHeadModel(config).train()
    made = OPTIMIZERS[optimizer](model.parameters())
    options.setdefault("include", transformers.pytorch_utils.Conv1D)
    sparse = dsr.sparsify(model, METHODS[method], optimizer=made, total_steps=60, **options)
    return model, made, sparse


def train(model, optimizer, sparse, steps, start=0, forward=None):
    for step in range(start, start + steps):
        tokens = torch.randint(0, 32, (2, 8), generator=torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        run = model if forward is None else forward
        run(input_ids=tokens, labels=tokens).loss.backward()
        optimizer.step()
        assert_promises(model, sparse)


def test_transformers_gpt2_with_its_own_layer_type_included():
    model, _, sparse = gpt2()
    names = ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")
    assert list(sparse.masks()) == [
        f"transformer.h.{i}.{name}.weight" for i in range(2) for name in names
    ]
    with pytest.raises(ValueError, match=r"no layer to make sparse .*by include=: Conv1D$"):
        dsr.sparsify(type(model)(model.config), METHOD)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("method", METHODS)
def test_transformers_gpt2_trains(method, optimizer):
    model, made, sparse = gpt2(method, optimizer)
    budget, before = sparse.budget, sparse.masks()
    train(model, made, sparse, 60)
    assert sparse.budget == budget
    moved = any(not torch.equal(mask, before[name]) for name, mask in sparse.masks().items())
    assert moved == (method != "static")


@pytest.mark.parametrize("method", METHODS)
def test_transformers_gpt2_resumes_bit_for_bit(method, tmp_path):
    whole, first, rest = (gpt2(method, "adamw") for _ in range(3))
    train(*whole, 20)
    train(*first, 12)
    names = ("model", "optimizer", "sparse")
    dsr.Checkpoints(tmp_path).save(12, **dict(zip(names, first, strict=True)))
    step = dsr.Checkpoints(tmp_path).load_latest(**dict(zip(names, rest, strict=True)))
    train(*rest, 8, start=step)
    for a, b in zip(whole[0].parameters(), rest[0].parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("reentrant", [False, True])
def test_transformers_gpt2_with_gradient_checkpointing_trains_alike(reentrant):
    plain, recomputed = gpt2(), gpt2()
    model = recomputed[0]
    model.gradient_checkpointing_enable({"use_reentrant": reentrant})
    train(*plain, 12)
    train(*recomputed, 12)
    for name, mask in recomputed[2].masks().items():
        assert is_positive_zero(dict(model.named_parameters())[name].grad[~mask])
    for a, b in zip(plain[0].parameters(), model.parameters(), strict=True):
        assert torch.equal(a, b)


def test_transformers_gpt2_trains_under_autocast():
    model, optimizer, sparse = gpt2()

    def forward(**batch):
        with torch.autocast("cpu", torch.bfloat16):
            return model(**batch)

    train(model, optimizer, sparse, 12, forward=forward)


def test_transformers_gpt2_trains_compiled():
    model, optimizer, sparse = gpt2()
    train(model, optimizer, sparse, 12, forward=torch.compile(model, backend="aot_eager"))
    assert type(sparse.export()) is type(model)


def test_transformers_gpt2_exports_what_from_pretrained_loads(tmp_path):
    model, optimizer, sparse = gpt2()
    train(model, optimizer, sparse, 7)
    plain = sparse.export().eval()
    assert plain.lm_head.weight is plain.transformer.wte.weight
    plain.save_pretrained(tmp_path)
    loaded = type(model).from_pretrained(tmp_path).eval()
    with torch.no_grad():
        expected = model.eval()(input_ids=TOKENS).logits
        assert torch.equal(plain(input_ids=TOKENS).logits, expected)
        assert torch.equal(loaded(input_ids=TOKENS).logits, expected)


def test_transformers_gpt2_with_its_tied_output_included():
    model, optimizer, sparse = gpt2(include="lm_head")
    assert list(sparse.masks()) == ["transformer.wte.weight"]
    train(model, optimizer, sparse, 7)


def test_transformers_trainer_trains(tmp_path):
    library("accelerate")
    transformers = library("transformers")
    model, optimizer, sparse = gpt2(optimizer="adamw")
    arguments = transformers.TrainingArguments(
        str(tmp_path), max_steps=12, report_to=[], use_cpu=True, disable_tqdm=True
    )
    rows = [{"input_ids": TOKENS[0], "labels": TOKENS[0]}] * 8
    transformers.Trainer(model, arguments, train_dataset=rows, optimizers=(optimizer, None)).train()
    assert sparse.stats().step == 12
    assert sparse.stats().reallocations == 2
    assert_promises(model, sparse)


def test_transformers_wav2vec2_keeps_its_parametrized_convolution_dense():
    transformers = library("transformers")
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    convolutions = {"conv_dim": (8, 8), "conv_stride": (5, 2), "conv_kernel": (10, 3)}
    positions = {"num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2}
    config = transformers.Wav2Vec2Config(
        **sizes, **convolutions, **positions, intermediate_size=48, mask_time_prob=0.0
    )
    model = transformers.Wav2Vec2Model(config)

    def loss(model):
        return model(torch.randn(2, 200)).last_hidden_state.square().mean()

    sparse = train_one_step(model, loss, exclude="*pos_conv_embed*")
    assert len(sparse.masks()) == 14
