import numpy as np
import pytest

from minigrad.backend import from_dlpack
from minigrad.errors import DeviceError


class Foreign:
    def __init__(self, kind):
        self.kind = kind

    def __dlpack__(self, **kwargs):
        raise BufferError("no")

    def __dlpack_device__(self):
        return (self.kind, 0)


def test_memory_is_shared():
    x = np.arange(3.0)
    y = from_dlpack(x)
    assert type(y) is np.ndarray
    x[0] = 7
    assert y[0] == 7


@pytest.mark.parametrize("value", [[1.0], 1.0, None])
def test_what_does_not_speak_dlpack(value):
    with pytest.raises(DeviceError, match=r"does not speak DLPack .* mg.asarray"):
        from_dlpack(value)


def test_a_device_without_an_array_library():
    with pytest.raises(DeviceError, match="Foreign is on a device of DLPack type 10"):
        from_dlpack(Foreign(10))


def test_what_refuses_to_be_shared():
    with pytest.raises(DeviceError, match=r"Foreign cannot be shared: no\. A tensor that requires"):
        from_dlpack(Foreign(1))


def test_a_tensor_of_pytorch():
    torch = pytest.importorskip("torch")
    t = torch.arange(4.0)
    x = from_dlpack(t)
    t[1] = 9
    assert x.tolist() == [0, 9, 2, 3]
    assert torch.from_dlpack(x).data_ptr() == t.data_ptr()
    with pytest.raises(DeviceError, match=r"cannot be shared: .*requires? grad"):
        from_dlpack(torch.ones(2, requires_grad=True))
    with pytest.raises(DeviceError, match="bfloat16 is cast first"):
        from_dlpack(torch.ones(2, dtype=torch.bfloat16))
