"""The switch that rules every kernel: what it chooses, refuses and says."""

import subprocess
import sys
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from maskreel.kernels import backend
from maskreel.kernels.backend import ENVIRONMENT_VARIABLE, OLD_VARIABLE, use_backend
from maskreel.kernels.dynamic_layers import dynamic_layers
from maskreel.kernels.maps import Maps
from maskreel.kernels.sampling import sample
from maskreel.kernels.short_attention import attend_short

MAPS = Maps.own_frame(((5, 7), (3, 2)), num_frames=1)


def call_sampling(*, dtype: torch.dtype = torch.float32, device: str = "cpu") -> Tensor:
    draw = torch.Generator().manual_seed(0)
    shapes = (1, 41, 2, 8), (1, 6, 2, 4, 2), (1, 6, 2, 4)
    return sample(*(torch.rand(shape, generator=draw).to(device, dtype) for shape in shapes), maps=MAPS)


def call_dynamic_layers(*, dtype: torch.dtype = torch.float32, device: str = "cpu") -> Tensor:
    draw = torch.Generator().manual_seed(0)
    shapes = (2, 10, 90), (4, 8, 10), (4, 8, 8), (4, 1, 8), (2, 4, 8), (4, 8), (4, 1)
    tensors = [torch.randn(shape, generator=draw).to(device, dtype) for shape in shapes]
    return dynamic_layers(tensors[0], tensors[1:4], *tensors[4:])


def call_short_attention(*, dtype: torch.dtype = torch.float32, device: str = "cpu") -> Tensor:
    draw = torch.Generator().manual_seed(0)
    query, key, value = torch.randn(3, 1, 5, 33, 16, generator=draw).to(device, dtype)
    return attend_short(query, key, value, 4)


KERNELS = {
    "sampling": call_sampling,
    "dynamic layers": call_dynamic_layers,
    "short attention": call_short_attention,
}
Call = Callable[..., Tensor]


@pytest.fixture(autouse=True)
def nothing_said_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "_reported", set())
    for variable in (ENVIRONMENT_VARIABLE, OLD_VARIABLE):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture(params=KERNELS)
def kernel(request: pytest.FixtureRequest) -> str:
    return request.param


def runs_compiled_code(call: Call, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether a call takes the compiled form, told by the team that runs it."""
    calls = []
    from maskreel.kernels import cpu, dynamic_layers, short_attention

    for module in (cpu, dynamic_layers, short_attention):
        run = module.run
        monkeypatch.setattr(module, "run", lambda *arguments, run=run: (calls.append(1), run(*arguments)))
    call()
    return bool(calls)


def test_the_reference_runs_no_compiled_code_and_the_others_do(kernel: str, monkeypatch: pytest.MonkeyPatch) -> None:
    call = KERNELS[kernel]
    fast = call()
    with use_backend("reference"):
        assert not runs_compiled_code(call, monkeypatch)
        reference = call()
        with use_backend("cpu"):
            assert runs_compiled_code(call, monkeypatch)
            assert torch.equal(call(), fast)
        assert torch.equal(call(), reference)
    assert torch.equal(call(), fast)
    assert not torch.equal(fast, reference)
    torch.testing.assert_close(fast, reference, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("variable", [ENVIRONMENT_VARIABLE, OLD_VARIABLE])
def test_the_variables_rule_every_kernel_and_the_old_one_is_named_once(
    kernel: str, variable: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(variable, "reference")
    for _ in range(2):
        assert not runs_compiled_code(KERNELS[kernel], monkeypatch)
    said = [] if variable == ENVIRONMENT_VARIABLE else [f"{OLD_VARIABLE} is now called {ENVIRONMENT_VARIABLE}"]
    assert [record.getMessage().split(",")[0] for record in caplog.records] == said


def test_the_new_variable_goes_before_the_old_and_a_block_before_both(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(OLD_VARIABLE, "triton")
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, "reference")
    reference = call_sampling()
    with use_backend("cpu"):
        assert not torch.equal(call_sampling(), reference)
    assert not caplog.records
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, "")
    with pytest.raises(ValueError, match=f"'triton', asked for by {OLD_VARIABLE}"):
        call_sampling()


def test_an_unknown_backend_is_refused_naming_the_choices(kernel: str, monkeypatch: pytest.MonkeyPatch) -> None:
    choices = "choose one of reference, cpu, triton"
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, "quick")
    with pytest.raises(ValueError, match=f"^{ENVIRONMENT_VARIABLE}: unknown backend 'quick'; {choices}$"):
        KERNELS[kernel]()
    with pytest.raises(ValueError, match=f"^use_backend: unknown backend 'numba'; {choices}$"):
        backend._checked("numba", "use_backend")


def test_a_forced_backend_that_cannot_take_the_tensors_is_an_error(kernel: str) -> None:
    with use_backend("triton"), pytest.raises(ValueError, match=rf"'triton'.*{kernel}.*needs tensors on 'cuda'"):
        KERNELS[kernel]()
    with use_backend("cpu"), pytest.raises(ValueError, match=rf"'cpu'.*{kernel}.*needs tensors on 'cpu'.*'meta'"):
        KERNELS[kernel](device="meta")
    with use_backend("cpu"), pytest.raises(ValueError, match=rf"'cpu'.*{kernel}.*float64"):
        KERNELS[kernel](dtype=torch.float64)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu_kernels_without_a_triton_form_use_their_reference(
    kernel: str, caplog: pytest.LogCaptureFixture
) -> None:
    with use_backend("reference"):
        expected = KERNELS[kernel](device="cuda")
    with use_backend("triton"):
        for _ in range(2):
            found = KERNELS[kernel](device="cuda")
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert len(caplog.records) == (kernel != "sampling")
    with use_backend("cpu"), pytest.raises(ValueError, match="needs tensors on 'cpu', these are on 'cuda'"):
        KERNELS[kernel](device="cuda")


def test_a_call_that_the_forced_backend_has_no_form_for_takes_the_reference_and_says_so_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    query = torch.randn(1, 5, 3, 8, requires_grad=True)
    with use_backend("reference"):
        expected = attend_short(query, query, query, 2)
    assert torch.equal(attend_short(query, query, query, 2), expected)
    assert not caplog.records
    with use_backend("cpu"):
        for _ in range(2):
            assert torch.equal(attend_short(query, query, query, 2), expected)
    assert [record.getMessage() for record in caplog.records] == [
        "backend 'cpu' has no form of short attention for such a call, its reference is used"
    ]


def test_a_backend_that_is_not_installed_is_skipped_and_reported_once(
    kernel: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(backend, "_is_installed", lambda package: False)
    for _ in range(2):
        assert not runs_compiled_code(KERNELS[kernel], monkeypatch)
    assert len(caplog.records) == 1
    assert "'numba' is not installed" in caplog.text


def test_importing_a_kernel_imports_no_compiler() -> None:
    compilers = {"numba", "llvmlite", "torch._dynamo"}
    code = f"import sys, maskreel.kernels.sampling; sys.exit(bool({compilers} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], timeout=600).returncode == 0
