from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.families import CONFIGS, DECODERS, texts, tiny, tokenizer
from ulterior.errors import InputError
from ulterior.examples import Examples
from ulterior.features.activations import activations
from ulterior.features.outputs import outputs
from ulterior.features.reading import read
from ulterior.subject import Subject
from ulterior.tokens import TextInputs

EXAMPLES = Examples.of(text=texts(3, 9, 5))


# A saved Qwen2 is given its own way of splitting text, which words of a made-up vocabulary do not survive.
SAVED = [family for family in CONFIGS if family != "qwen2"]


def saved(folder: Path, family: str, head: str | None = None) -> Path:
    tiny(family, head).save_pretrained(folder)
    tokenizer(eos_token="</s>").save_pretrained(folder)
    return folder


def behaviour_of(subject: Subject, examples: Examples = EXAMPLES) -> torch.Tensor:
    ((rows, reading),) = read(subject, examples, [outputs()])
    values = reading[outputs()]["outputs"]
    assert isinstance(values, torch.Tensor)
    return values[rows.argsort(), 0]


@pytest.mark.parametrize("family", SAVED)
def test_a_saved_model_loads_with_the_head_that_its_configuration_names(family: str, tmp_path: Path) -> None:
    subject = Subject.from_pretrained(saved(tmp_path / family, family))
    assert type(subject.model) is type(tiny(family))
    assert subject.name == family
    assert not subject.model.training
    again = Subject.from_tokenizer(tiny(family), tokenizer(), readouts=subject.readouts)
    torch.testing.assert_close(behaviour_of(subject), behaviour_of(again), rtol=1e-5, atol=1e-5)
    assert subject.fingerprint() == again.fingerprint()


@pytest.mark.parametrize("family", ["bert", "distilbert", "roberta", "llama"])
def test_a_bare_transformer_behaves_by_the_length_of_its_mean_state(family: str, tmp_path: Path) -> None:
    subject = Subject.from_pretrained(saved(tmp_path, family, "states"))
    model = tiny(family, "states")
    expected = []
    for text in EXAMPLES["text"]:
        with torch.no_grad():
            states = model(tokenizer()(text, return_tensors="pt")["input_ids"]).last_hidden_state
        expected.append(states[0].mean(0).norm())
    torch.testing.assert_close(behaviour_of(subject), torch.stack(expected), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("family", ["llama", "gpt2", "qwen3"])
def test_a_decoder_with_a_classifiers_head_sees_its_own_last_token(family: str, tmp_path: Path) -> None:
    subject = Subject.from_pretrained(saved(tmp_path, family, "classes"))
    one_by_one = torch.cat([behaviour_of(subject, EXAMPLES.take([row])) for row in range(3)])
    torch.testing.assert_close(behaviour_of(subject), one_by_one, rtol=1e-5, atol=1e-5)


def test_a_configuration_that_names_no_architecture_goes_by_its_family(tmp_path: Path) -> None:
    for family, kind in (("llama", "LlamaForCausalLM"), ("bert", "BertModel")):
        folder = saved(tmp_path / family, family, None if family == "llama" else "states")
        config = json.loads((folder / "config.json").read_text())
        del config["architectures"]
        (folder / "config.json").write_text(json.dumps(config))
        assert type(Subject.from_pretrained(folder).model).__name__ == kind


def test_a_masked_language_model_loads_as_the_encoder_that_it_is(tmp_path: Path) -> None:
    from transformers import AutoModelForMaskedLM

    AutoModelForMaskedLM.from_config(CONFIGS["bert"]()).save_pretrained(tmp_path)
    tokenizer().save_pretrained(tmp_path)
    assert type(Subject.from_pretrained(tmp_path).model).__name__ == "BertModel"


def test_answers_make_the_behaviour_a_logit_difference(tmp_path: Path) -> None:
    subject = Subject.from_pretrained(saved(tmp_path, "mistral"), answers=("w1 w2", "w3"))
    expected = []
    for text in EXAMPLES["text"]:
        with torch.no_grad():
            logits = tiny("mistral")(tokenizer()(text, return_tensors="pt")["input_ids"]).logits[0, -1]
        expected.append(logits[5] - logits[7])
    torch.testing.assert_close(behaviour_of(subject), torch.stack(expected), rtol=1e-5, atol=1e-5)
    with pytest.raises(InputError, match="must begin with different tokens"):
        Subject.from_pretrained(tmp_path, answers=("w1 w2", "w1"))
    with pytest.raises(InputError, match="answers are for causal language models"):
        Subject.from_pretrained(saved(tmp_path / "bert", "bert"), answers=("w1", "w2"))


def test_the_language_head_runs_on_the_last_position_only(tmp_path: Path) -> None:
    subject = Subject.from_pretrained(saved(tmp_path, "llama"))
    batch = subject.collate(subject.encode(EXAMPLES))
    assert subject.run(batch).logits.shape == (3, 1, 99)
    right = Subject.from_pretrained(tmp_path, padding="right")
    assert right.run(right.collate(right.encode(EXAMPLES))).logits.shape == (3, 9, 99)
    torch.testing.assert_close(behaviour_of(subject), behaviour_of(right), rtol=1e-5, atol=1e-5)
    assert subject.run(batch).past_key_values is None


@pytest.mark.parametrize("dtype", [torch.bfloat16, "bfloat16", "float16"])
def test_dtype_is_honoured_and_features_stay_float32(dtype: torch.dtype | str, tmp_path: Path) -> None:
    subject = Subject.from_pretrained(saved(tmp_path, "llama"), dtype=dtype)
    assert subject.model.dtype == (getattr(torch, dtype) if isinstance(dtype, str) else dtype)
    ((_, reading),) = read(subject, EXAMPLES, [activations("resid.1")])
    assert reading[activations("resid.1")]["resid.1@last"].dtype == torch.float32


@pytest.mark.parametrize(("fast", "expected"), [(True, torch.bfloat16), (False, torch.float32)])
def test_dtype_is_the_checkpoints_own_unless_asked_or_slow_here(
    fast: bool, expected: torch.dtype, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ulterior.loading.bfloat16_is_fast", lambda: fast)
    model = type(tiny("llama"))(tiny("llama").config).to(torch.bfloat16)
    model.save_pretrained(tmp_path)
    tokenizer().save_pretrained(tmp_path)
    assert Subject.from_pretrained(tmp_path, device="cpu").model.dtype == expected
    assert Subject.from_pretrained(tmp_path, dtype="float32").model.dtype == torch.float32
    assert Subject.from_pretrained(tmp_path, dtype="bfloat16").model.dtype == torch.bfloat16


def test_a_device_map_places_the_model(tmp_path: Path) -> None:
    pytest.importorskip("accelerate")
    subject = Subject.from_pretrained(saved(tmp_path, "llama"), device_map={"": "cpu"})
    plain = Subject.from_pretrained(tmp_path, device="cpu")
    assert torch.equal(behaviour_of(subject), behaviour_of(plain))
    assert subject.fingerprint() == plain.fingerprint()


def adapter_in(folder: Path, base: Path) -> Path:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    wrapped = get_peft_model(
        AutoModelForCausalLM.from_pretrained(base),
        LoraConfig(r=2, target_modules=["q_proj", "o_proj", "up_proj"]),
    )
    for name, parameter in wrapped.named_parameters():
        if "lora_B" in name:
            parameter.data = torch.randn_like(parameter)
    wrapped.save_pretrained(folder)
    return folder


def test_an_adapter_is_merged_and_changes_the_fingerprint(tmp_path: Path) -> None:
    base = saved(tmp_path / "base", "llama")
    adapter = adapter_in(tmp_path / "adapter", base)
    plain, adapted = Subject.from_pretrained(base), Subject.from_pretrained(base, adapter=adapter)
    assert type(adapted.model) is type(plain.model)
    assert adapted.sites() == plain.sites()
    assert not torch.allclose(behaviour_of(adapted), behaviour_of(plain))
    assert adapted.fingerprint() == Subject.from_pretrained(base, adapter=adapter).fingerprint()
    assert adapted.fingerprint() != plain.fingerprint()
    # The heads read the merged weights.
    list(read(adapted, EXAMPLES, [activations("head.*")]))
    with pytest.raises(InputError, match=r"could not load '.*nothing'"):
        Subject.from_pretrained(base, adapter=tmp_path / "nothing")


def test_all_text_options_arrive(tmp_path: Path) -> None:
    folder = saved(tmp_path, "llama")
    subject = Subject.from_pretrained(folder, column="review", max_length=4, overlong="truncate", name="mine")
    assert subject.name == "mine"
    assert [one.length for one in subject.encode(Examples.of(review=texts(3, 9)))] == [3, 4]
    assert TextInputs().overlong == "error"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("./nowhere", "no folder './nowhere'"),
        ("/not/there/at/all", "no folder '/not/there/at/all'"),
        (Path("nowhere"), "no folder 'nowhere'"),
        ("owner/no-such-model", "could not load 'owner/no-such-model'"),
        ("not a model id", "could not load 'not a model id'"),
    ],
)
def test_a_source_that_is_not_there_is_one_clear_line(source, expected: str) -> None:
    with pytest.raises(InputError, match=expected) as caught:
        Subject.from_pretrained(source)
    assert "\n" not in str(caught.value)


def broken_folder(folder: Path, how: str) -> Path:
    saved(folder, "llama")
    weights = folder / "model.safetensors"
    if how == "no config":
        (folder / "config.json").unlink()
    elif how == "config is no JSON":
        (folder / "config.json").write_text("{")
    elif how == "no weights":
        weights.unlink()
    elif how == "cut weights":
        os.truncate(weights, weights.stat().st_size // 2)
    elif how == "a pickle":
        weights.unlink()
        torch.save(tiny("llama").state_dict(), folder / "pytorch_model.bin")
    elif how == "weights of less":
        from safetensors.torch import load_file, save_file

        tensors = load_file(weights)
        save_file({k: v for k, v in tensors.items() if "layers.1" not in k}, weights, {"format": "pt"})
    elif how == "other shapes":
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | {"intermediate_size": 50}))
    elif how == "no tokenizer":
        for file in folder.glob("tokenizer*"):
            file.unlink()
    return folder


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("no config", "has no config.json"),
        ("config is no JSON", "could not load"),
        ("no weights", "could not load"),
        ("cut weights", "could not load"),
        ("a pickle", "could not load"),
        ("weights of less", r"lacks 13 weights of its own architecture \(model.layers.1"),
        ("other shapes", "could not load"),
        ("no tokenizer", "could not load"),
    ],
)
def test_a_broken_folder_is_one_clear_line(how: str, expected: str, tmp_path: Path) -> None:
    folder = broken_folder(tmp_path / "model", how)
    with pytest.raises(InputError, match=expected) as caught:
        Subject.from_pretrained(folder)
    assert "\n" not in str(caught.value)
    assert str(folder) in str(caught.value)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"dtype": "float31"}, "'float31' is no dtype for a model"),
        ({"dtype": "int8"}, "'int8' is no dtype for a model"),
        ({"dtype": "nn"}, "'nn' is no dtype for a model"),
        ({"device": "gpu"}, "'gpu' is no device"),
        ({"device": "cpu", "device_map": "auto"}, "a device or a device_map, not both"),
        ({"gguf_file": "x.gguf"}, "has no file 'x.gguf'"),
    ],
)
def test_wrong_options_are_one_clear_line(options: dict, expected: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=expected):
        Subject.from_pretrained(saved(tmp_path, "llama"), **options)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_device_that_is_not_there_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be put on 'cuda'"):
        Subject.from_pretrained(saved(tmp_path, "llama"), device="cuda")


def test_nothing_of_the_source_is_run_unless_asked(tmp_path: Path) -> None:
    folder = saved(tmp_path, "llama")
    config = json.loads((folder / "config.json").read_text())
    config |= {
        "model_type": "unheard-of",
        "auto_map": {"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model"},
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "evil.py").write_text("raise SystemExit('this must never run')")
    with pytest.raises(InputError, match="could not load"):
        Subject.from_pretrained(folder)


def test_every_decoder_family_ends_in_a_language_head() -> None:
    assert all(isinstance(tiny(family).get_output_embeddings(), nn.Module) for family in DECODERS)
