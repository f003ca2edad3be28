"""Eq. (4): the memory bank M."""

import zipfile

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from patchcore_edu import MemoryBank, definitions, memory_bank


def random_patches(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_by_hand():
    bank = memory_bank(torch.tensor([[[[1.0], [2.0]]], [[[3.0], [4.0]]]]))
    assert bank.vectors.tolist() == [[1], [2], [3], [4]]
    assert bank.image.tolist() == [0, 0, 1, 1]
    assert bank.position.tolist() == [[0, 0], [0, 1], [0, 0], [0, 1]]


shapes = st.tuples(*[st.integers(1, 4)] * 4)


@given(shapes, st.integers(1, 3))
def test_every_row_knows_its_image_and_position(shape, s):
    patches = random_patches(*shape)
    bank = memory_bank(patches, s)
    assert len(bank) == shape[0] * shape[1] * shape[2]
    h, w = (bank.position // s).T
    assert torch.equal(patches[bank.image, h, w], bank.vectors)
    assert not (bank.position % s).any()


@given(shapes)
def test_equals_the_definition(shape):
    patches = random_patches(*shape)
    patch_sets = patches.flatten(1, 2).tolist()
    assert memory_bank(patches).vectors.tolist() == definitions.memory_bank(patch_sets)


@given(shapes, st.integers(1, 4))
def test_batches_give_the_same_bank(shape, size):
    patches = random_patches(*shape)
    whole, grown = memory_bank(patches), memory_bank(batch for batch in patches.split(size))
    for name in ("vectors", "image", "position"):
        assert torch.equal(getattr(whole, name), getattr(grown, name))


def test_a_bank_is_a_copy_of_its_patches():
    patches = random_patches(1, 2, 2, 3)
    bank = memory_bank(patches)
    patches.zero_()
    assert bank.vectors.abs().min() > 0


def test_take_keeps_the_origin_of_the_rows():
    bank = memory_bank(random_patches(2, 3, 3, 4))
    rows = torch.tensor([17, 0, 4])
    part = bank.take(rows)
    assert torch.equal(part.vectors, bank.vectors[rows])
    assert part.image.tolist() == [1, 0, 0] and part.position.tolist() == [[2, 2], [0, 0], [1, 1]]


def test_a_bank_grows_in_place(at_most):
    """400 MB in batches of 13 MB. Concatenating the batches at the end would take twice the bank's memory."""
    with at_most(480):
        bank = memory_bank(torch.full((4, 28, 28, 1024), float(i)) for i in range(32))
    assert bank.vectors.nbytes > 380 * 2**20
    assert bank.vectors[::3136, 5].tolist() == list(range(32))


# --- saved banks ------------------------------------------------------------------------------------------------


@pytest.fixture
def saved(tmp_path):
    bank, path = memory_bank(random_patches(2, 3, 3, 4)), tmp_path / "bank"
    bank.save(path)
    return bank, path


def test_a_saved_bank_is_loaded_unchanged(saved):
    bank, path = saved
    again = MemoryBank.load(str(path))
    for name in ("vectors", "image", "position"):
        assert torch.equal(getattr(again, name), getattr(bank, name))
        assert getattr(again, name).dtype == getattr(bank, name).dtype


def test_a_saved_bank_holds_plain_numbers(saved):
    with zipfile.ZipFile(saved[1]) as archive:
        assert sorted(archive.namelist()) == ["image.npy", "position.npy", "vectors.npy"]
        for name in archive.namelist():
            with archive.open(name) as file:
                numbers = np.lib.format.read_array(file, allow_pickle=False)
                assert numbers.dtype.kind in "if" and file.read() == b""


def test_every_truncated_bank_is_refused(saved):
    _, path = saved
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"path was '.*bank', which is not a complete saved memory bank"):
            MemoryBank.load(path)


def test_a_damaged_bank_is_refused_or_read_unharmed(saved):
    bank, path = saved
    whole = path.read_bytes()
    refused = 0
    for i in range(0, len(whole), 3):
        path.write_bytes(whole[:i] + bytes([whole[i] ^ 0xFF]) + whole[i + 1 :])
        try:
            again = MemoryBank.load(path)
        except ValueError:
            refused += 1
        else:
            assert torch.equal(again.vectors, bank.vectors) and torch.equal(again.position, bank.position)
    assert refused > len(whole) / 6


class Trap:
    """Writes a file if somebody unpickles it."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


def foreign_files(path):
    bank = {"vectors": np.ones((2, 3), "f4"), "image": np.zeros(2, "i8"), "position": np.zeros((2, 2), "i8")}
    trap = np.array([[Trap(str(path) + ".sprung")]], dtype=object)
    yield "text", lambda: path.write_text("a memory bank")
    yield "PNG", lambda: path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(99))
    yield "another zip", lambda: zipfile.ZipFile(path, "w").writestr("vectors", "none")
    yield "one array", lambda: np.save(path.open("wb"), bank["vectors"])
    yield "tensors", lambda: torch.save(bank, path)
    yield "other names", lambda: np.savez(path.open("wb"), weights=bank["vectors"])
    yield "objects", lambda: np.savez(path.open("wb"), **bank | {"vectors": trap})
    yield "whole numbers", lambda: np.savez(path.open("wb"), **bank | {"vectors": np.ones((2, 3), "i8")})
    yield "NaN", lambda: np.savez(path.open("wb"), **bank | {"vectors": np.full((2, 3), np.nan)})
    yield "two ranks", lambda: np.savez(path.open("wb"), **bank | {"vectors": np.ones(2)})
    yield "another number of rows", lambda: np.savez(path.open("wb"), **bank | {"image": np.zeros(3, "i8")})
    yield "words", lambda: np.savez(path.open("wb"), **bank | {"image": np.array(["a", "b"])})
    yield "fractions", lambda: np.savez(path.open("wb"), **bank | {"position": np.full((2, 2), 0.5)})


def test_foreign_files_are_refused(tmp_path):
    path = tmp_path / "bank.npz"
    for kind, write in foreign_files(path):
        write()
        with pytest.raises(ValueError, match=r"path was '.*bank\.npz', which is not a complete saved memory bank"):
            MemoryBank.load(path)
            pytest.fail(kind)
    with pytest.raises(ValueError, match="which is not a complete saved memory bank"):
        MemoryBank.load(tmp_path)
    assert not (tmp_path / "bank.npz.sprung").exists()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_vectors_of_any_dtype_are_restored_exactly(tmp_path, dtype):
    """NumPy has no bfloat16, so these are saved as float32, which represents each of them exactly."""
    bank = memory_bank(random_patches(1, 2, 2, 3).to(dtype).requires_grad_())
    bank.save(tmp_path / "bank")
    assert torch.equal(MemoryBank.load(tmp_path / "bank").vectors.to(dtype), bank.vectors.to(dtype))
    MemoryBank(torch.ones(2, 3, dtype=dtype).requires_grad_(), torch.zeros(2).long(), torch.zeros(2, 2).long()).save(
        tmp_path / "bank"
    )
    assert torch.equal(MemoryBank.load(tmp_path / "bank").vectors, torch.ones(2, 3).to(bank.vectors.dtype))


def test_take_refuses_rows_that_do_not_exist(saved):
    for rows in ([-1], [18], [], [0.5], [[0]], "first"):
        with pytest.raises(ValueError, match=r"^rows (was|held) "):
            saved[0].take(rows)
    assert saved[0].take([3]).position.tolist() == [[1, 0]]


def test_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.npz"):
        MemoryBank.load(tmp_path / "none.npz")


# --- bad input --------------------------------------------------------------------------------------------------

patches = torch.ones(1, 2, 2, 3)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (([],), "patches held no image; a memory bank needs at least one"),
        ((patches[:0],), "patches was a tensor of shape (0, 2, 2, 3) and dtype float32; it must be"),
        ((patches[0],), "patches was a tensor of shape (2, 2, 3) and dtype float32; it must be"),
        (([patches, patches[..., :2]],), "patches held batches of shapes (…, 2, 2, 3) and (1, 2, 2, 2), of float32"),
        (([patches, patches[:, :1]],), "patches held batches of shapes (…, 2, 2, 3) and (1, 1, 2, 3), of float32"),
        (([patches, patches / 0],), "patches holds NaN or infinite values; all its values must be finite"),
        (
            ([patches, patches.double()],),
            "patches held batches of shapes (…, 2, 2, 3) and (1, 2, 2, 3), of float32 and",
        ),
        ((3,), "patches was of type int; it must be tensors (n, h', w', d)"),
        ((patches, 0), "s was 0; it must be a whole number from 1 to 1001"),
    ],
)
def test_bad_input(arguments, message):
    with pytest.raises(ValueError) as error:
        memory_bank(*arguments)
    assert str(error.value).startswith(message)


@pytest.mark.parametrize(
    "image, position, message",
    [
        (
            torch.zeros(3).long(),
            torch.zeros(2, 2).long(),
            "image was a tensor of shape (3,) and dtype int64; it must be",
        ),
        (torch.zeros(2).long(), torch.zeros(2, 3).long(), "position was a tensor of shape (2, 3) and dtype int64; it"),
        (torch.tensor([0, -1]), torch.zeros(2, 2).long(), "image held numbers from -1 to 0; they must be at least 0"),
        (torch.zeros(2).long(), torch.zeros(2, 2), "position was a tensor of shape (2, 2) and dtype float32; it"),
    ],
)
def test_rows_without_an_origin(image, position, message):
    with pytest.raises(ValueError) as error:
        MemoryBank(torch.ones(2, 5), image, position)
    assert str(error.value).startswith(message)
