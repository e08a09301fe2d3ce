"""Checkpoints: whole or absent, and refused with a reason."""

import os
import stat
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vae_teach import vae
from vae_teach.common import checkpoint


def small(hidden=8):
    return vae.mlp_vae((1, 8, 8), hidden=hidden, latent=2)


def stepped():
    model = small()
    optimizer = torch.optim.Adam(model.parameters())
    (-model.elbo(torch.rand(4, 1, 8, 8)).elbo.mean()).backward()
    optimizer.step()
    return model, optimizer


def test_model_optimizer_and_facts_come_back(tmp_path):
    model, optimizer = stepped()
    checkpoint.save(tmp_path / "a.safetensors", model, optimizer, epoch=3, note="ψ")
    other = small()
    other_optimizer = torch.optim.Adam(other.parameters())
    facts = checkpoint.restore(tmp_path / "a.safetensors", other, other_optimizer)
    assert facts == {"epoch": 3, "note": "ψ"}
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), other.state_dict().values()))
    for a, b in zip(optimizer.state_dict()["state"].values(), other_optimizer.state_dict()["state"].values()):
        assert a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def test_moments_come_back_in_the_layout_of_their_weights(tmp_path):
    """Fused Adam pairs a weight with the moment at the same place in memory."""

    def stepped_conv():
        torch.manual_seed(0)
        conv = torch.nn.Conv2d(3, 5, 3).to(memory_format=torch.channels_last)
        optimizer = torch.optim.Adam(conv.parameters(), fused=True)
        conv(torch.rand(2, 3, 6, 6)).square().sum().backward()
        optimizer.step()
        return conv, optimizer

    conv, optimizer = stepped_conv()
    checkpoint.save(tmp_path / "a.safetensors", conv, optimizer)
    other, other_optimizer = stepped_conv()
    checkpoint.restore(tmp_path / "a.safetensors", other, other_optimizer)
    for key in ("exp_avg", "exp_avg_sq"):
        was, moment = optimizer.state[conv.weight][key], other_optimizer.state[other.weight][key]
        assert torch.equal(was, moment) and was.stride() == moment.stride() == other.weight.stride()


def test_an_optimizer_of_fewer_tensors_is_refused(tmp_path):
    model, optimizer = stepped()
    checkpoint.save(tmp_path / "a.safetensors", model, optimizer)
    other = small()
    before = {k: v.clone() for k, v in other.state_dict().items()}
    with pytest.raises(checkpoint.CheckpointError, match="holds the optimiser of 8 tensors, this one has 4"):
        checkpoint.restore(tmp_path / "a.safetensors", other, torch.optim.Adam(other.encoder.parameters()))
    assert all(torch.equal(before[k], v) for k, v in other.state_dict().items())


def test_half_precision_is_half_the_size_and_near(tmp_path):
    model = small(200)
    checkpoint.save(tmp_path / "full.safetensors", model)
    checkpoint.save(tmp_path / "half.safetensors", model, half=True)
    sizes = [(tmp_path / f"{n}.safetensors").stat().st_size for n in ("half", "full")]
    assert sizes[0] < 0.55 * sizes[1]
    other = small(200)
    checkpoint.restore(tmp_path / "half.safetensors", other)
    for a, b in zip(model.parameters(), other.parameters()):
        assert b.dtype == torch.float32
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-6)


def test_another_model_is_refused_and_nothing_changes(tmp_path):
    checkpoint.save(tmp_path / "a.safetensors", small(8))
    other = small(9)
    before = {k: v.clone() for k, v in other.state_dict().items()}
    with pytest.raises(checkpoint.CheckpointError, match="another model.*in the file.*in the model"):
        checkpoint.restore(tmp_path / "a.safetensors", other)
    assert all(torch.equal(before[k], v) for k, v in other.state_dict().items())
    with pytest.raises(checkpoint.CheckpointError, match="another model"):
        checkpoint.restore(tmp_path / "a.safetensors", torch.nn.Linear(2, 2))


def test_weights_alone_cannot_be_trained_on_exactly(tmp_path):
    model, optimizer = stepped()
    checkpoint.save(tmp_path / "a.safetensors", model)
    with pytest.raises(checkpoint.CheckpointError, match="weights only"):
        checkpoint.restore(tmp_path / "a.safetensors", model, optimizer)


@given(st.floats(0, 0.999), st.binary(max_size=40))
def test_damaged_files_are_named(tmp_path_factory, part, tail):
    path = tmp_path_factory.mktemp("damaged") / "a.safetensors"
    checkpoint.save(path, small())
    raw = path.read_bytes()
    path.write_bytes(raw[: int(part * len(raw))])
    with pytest.raises(checkpoint.CheckpointError, match="a.safetensors is not a readable checkpoint.*Delete it"):
        checkpoint.read(path)
    path.write_bytes(tail)
    with pytest.raises(checkpoint.CheckpointError, match="not a readable checkpoint"):
        checkpoint.read(path)


def test_a_missing_file_and_a_strangers_file_are_named(tmp_path):
    with pytest.raises(checkpoint.CheckpointError, match="no checkpoint at"):
        checkpoint.read(tmp_path / "none.safetensors")
    from safetensors.torch import save_file

    save_file({"w": torch.zeros(2)}, tmp_path / "b.safetensors")
    for path in (tmp_path / "b.safetensors", tmp_path):
        with pytest.raises(checkpoint.CheckpointError, match="not a readable checkpoint"):
            checkpoint.read(path)


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def fails(temporary, *_):
        Path(temporary).write_text("ne")
        raise RuntimeError("disk full")

    with pytest.raises(RuntimeError, match="disk full"):
        checkpoint.write_atomically(path, fails)
    monkeypatch.setattr(os, "replace", fails)
    with pytest.raises(RuntimeError, match="disk full"):
        checkpoint.write_atomically(path, lambda temporary: temporary.write_text("new"))
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("umask, mode", [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)])
def test_others_may_read_what_the_umask_allows(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        checkpoint.save(tmp_path / "a.safetensors", small())
    finally:
        after = os.umask(before)
    assert after == umask
    assert stat.S_IMODE((tmp_path / "a.safetensors").stat().st_mode) == mode


def test_a_trial_leaves_nothing_but_the_folder(tmp_path):
    checkpoint.require_writable(tmp_path / "new/run")
    assert os.listdir(tmp_path / "new/run") == []


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match="cannot write .*Choose a folder"):
        checkpoint.save(tmp_path / "file" / "a.safetensors", small())
