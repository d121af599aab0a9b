"""Datasets: whole or not at all, exact, and honest about what is broken."""

import hashlib
import json
import multiprocessing
import os
import resource
import signal
import time
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pytest
from episode_samples import make_episode, make_info, same
from numcodecs.zstd import compress

from episodes import DatasetWriter, StoreError, open_dataset
from episodes.shard import _digest
from episodes.writer import _owner
from episodes.zstd import unpacked_size


@pytest.fixture
def writer(tmp_path):
    return DatasetWriter(tmp_path / "data", make_info())


def leftovers(path: Path) -> list[Path]:
    """Everything in a dataset's folders that is no part of it."""
    return [*path.glob(".part-*"), *(path / "shards").glob(".part-*")]


@pytest.fixture(scope="module")
def processes():
    """Starts processes of their own, quickly: what they import was imported once."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["episodes", "episode_samples"])
    return context


# --- what is written is read


def test_round_trip_is_exact(writer):
    episodes = [make_episode(k, steps=5 + 40 * k) for k in range(4)]
    writer.write("b", episodes[1:])
    writer.write("a", episodes[:1])
    dataset = open_dataset(writer.path)
    assert dataset.info == writer.info
    assert dataset.lengths.tolist() == [5, 45, 85, 125]
    assert all(same(a, b) for a, b in zip(dataset, episodes, strict=True))
    for i in (3, 0, 2, 1, -1):
        assert same(dataset[i], episodes[i])
        assert dataset.provenance(i) == episodes[i].provenance
        signals = dataset.signals(i)
        for name in ("qpos", "gripper", "actions", "labelled"):
            np.testing.assert_array_equal(getattr(signals, name), getattr(episodes[i], name))
    for name in ("images/side", "masks/side", "state", "actions"):
        kind, _, camera = name.partition("/")
        firsts = [getattr(episode, kind)[camera][0] if camera else getattr(episode, kind)[0] for episode in episodes]
        np.testing.assert_array_equal(dataset.first_rows(name), np.stack(firsts))
    assert dataset.verify() == {}
    with pytest.raises(IndexError):
        dataset[4]


def test_indices_count_from_the_end(writer):
    writer.write("a", [make_episode(0), make_episode(1)])
    assert same(open_dataset(writer.path)[-2], make_episode(0))


@pytest.mark.parametrize("size", [(1, 1), (8, 7), (5, 8), (3, 9), (33, 31)])
def test_masks_of_odd_sizes(tmp_path, size):
    sizes = {"only": size}
    DatasetWriter(tmp_path, make_info(sizes)).write("a", [make_episode(1, 3, sizes)])
    assert same(open_dataset(tmp_path)[0], make_episode(1, 3, sizes))


def test_no_camera_and_no_state(tmp_path):
    episode = make_episode(0, 4, {}, state=np.zeros((5, 0)))
    DatasetWriter(tmp_path, make_info({})).write("a", [episode])
    assert same(open_dataset(tmp_path)[0], episode)


def test_a_shard_may_be_empty(writer):
    writer.write("a", [])
    writer.write("b", [make_episode()])
    dataset = open_dataset(writer.path)
    assert writer.has("a")
    assert (len(dataset), len(list(dataset)), dataset.verify()) == (1, 1, {})


def test_a_dataset_without_shards(writer):
    dataset = open_dataset(writer.path)
    assert (len(dataset), dataset.lengths.shape, list(dataset)) == (0, (0,), [])


def test_datasets_of_one_contract_merge(tmp_path):
    for k, name in enumerate(("x", "y")):
        DatasetWriter(tmp_path / name, make_info()).write("a", [make_episode(k)])
    both = open_dataset([tmp_path / "x", tmp_path / "y"])
    assert [both.provenance(i)["seed"] for i in range(len(both))] == [0, 1]
    DatasetWriter(tmp_path / "z", make_info(robot="ur5e"))
    with pytest.raises(StoreError, match=r"differ.*panda and ur5e"):
        open_dataset([tmp_path / "x", tmp_path / "z"])


# --- what is refused


def test_names_are_written_once(writer):
    writer.write("a", [make_episode(0)])
    with pytest.raises(StoreError, match=r"'a' .* is there already"):
        writer.write("a", [make_episode(1)])
    assert same(open_dataset(writer.path)[0], make_episode(0))
    assert leftovers(writer.path) == []


def test_a_name_taken_meanwhile_is_not_overwritten(writer, monkeypatch):
    writer.write("a", [make_episode(0)])
    answers = iter([False, True])
    monkeypatch.setattr(writer, "has", lambda name: next(answers))
    with pytest.raises(StoreError, match=r"'a' .* is there already"):
        writer.write("a", [make_episode(1)])
    assert same(open_dataset(writer.path)[0], make_episode(0))
    assert leftovers(writer.path) == []


@pytest.mark.parametrize("name", ["../up", "a/b", ".a", ""])
def test_shard_names_are_safe_as_files(writer, name):
    with pytest.raises(StoreError, match="shard name"):
        writer.write(name, [])


def test_episodes_follow_the_contract(writer):
    with pytest.raises(StoreError, match="the dataset holds pictures"):
        writer.write("a", [make_episode(0, 3, {"side": (8, 8)})])
    with pytest.raises(StoreError, match="20 steps a second, the episode 10"):
        writer.write("a", [make_episode(dt=0.1)])
    assert not writer.has("a")


def test_another_contract_is_refused(writer):
    with pytest.raises(StoreError, match=r"another contract \(fps: 20.0 and 10.0\)"):
        DatasetWriter(writer.path, make_info(fps=10.0))
    DatasetWriter(writer.path, make_info(fingerprint={"mujoco": "4"}))


def test_another_version_says_both(writer):
    file = writer.path / "dataset.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"version": 7}))
    for refused in (lambda: open_dataset(writer.path), lambda: DatasetWriter(writer.path, make_info())):
        with pytest.raises(StoreError, match="version 7, this program reads 1"):
            refused()


def test_no_dataset(tmp_path):
    with pytest.raises(StoreError, match=r"no dataset at .*collect"):
        open_dataset(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot write"):
        DatasetWriter(tmp_path / "file", make_info())


# --- what is broken


def damage(path: Path, how: str) -> None:
    raw = bytearray(path.read_bytes())
    if how == "truncated":
        path.write_bytes(raw[: len(raw) // 2])
    elif how == "flipped":
        raw[len(raw) // 2] ^= 1
        path.write_bytes(raw)
    else:
        path.unlink()


_CHUNK = 32 * 32 * 32 * 3  # bytes of a chunk of FILES[0]
FILES = ["images/side/c/0/0/0/0", "masks/wrist/c/0/0/0", "qpos/c/0/0", "state/c/0/0", "images/side/zarr.json"]


@pytest.mark.parametrize("how", ["truncated", "flipped", "gone"])
@pytest.mark.parametrize("file", [*FILES, "zarr.json"])
def test_a_damaged_file_is_named(writer, file, how):
    writer.write("good", [make_episode(0)])
    writer.write("hurt", [make_episode(1)])
    damage(writer.path / "shards/hurt.zarr" / file, how)
    said = r"shard 'hurt' is broken .*delete .*hurt.zarr and run collect again"
    if file == "zarr.json":  # read on opening
        with pytest.raises(StoreError, match=said):
            open_dataset(writer.path)
        return
    dataset = open_dataset(writer.path)
    assert same(dataset[0], make_episode(0))
    with pytest.raises(StoreError, match=said) as caught:
        dataset[1]
    assert "\n" not in str(caught.value)
    assert list(dataset.verify()) == ["hurt"]


def test_damage_after_opening_is_found_by_verify(writer):
    writer.write("a", [make_episode(0)])
    dataset = open_dataset(writer.path)
    assert dataset.verify() == {}
    damage(writer.path / "shards/a.zarr" / FILES[0], "flipped")
    assert list(dataset.verify()) == ["a"]


def forge(shard: Path, file: str, content: bytes) -> None:
    """Replaces a file and makes the checksums agree, as one with bad intentions would."""
    (shard / file).write_bytes(content)
    head = json.loads((shard / "zarr.json").read_text())
    ours = head["attributes"]["cezanne"]
    ours["files"][file] = [len(content), hashlib.sha256(content).hexdigest()]
    head["attributes"]["sha256"] = _digest(ours)
    (shard / "zarr.json").write_text(json.dumps(head))


@pytest.mark.parametrize(
    "changes",
    [
        {"shape": [10**12, 32, 32, 3]},
        {"data_type": "float64"},
        {"data_type": {"name": "object"}},
        {"codecs": [{"name": "bytes"}, {"name": "gzip", "configuration": {"level": 1}}]},
        {"codecs": [{"name": "numcodecs.pickle"}]},
        {"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [10**9, 32, 32, 3]}}},
        {"node_type": "group"},
        {"codecs": None},
    ],
)
def test_arrays_that_we_do_not_write_are_not_read(writer, changes):
    writer.write("a", [make_episode(0)])
    shard, file = writer.path / "shards/a.zarr", "images/side/zarr.json"
    forge(shard, file, json.dumps(json.loads((shard / file).read_text()) | changes).encode())
    with pytest.raises(StoreError, match="shard 'a' is broken"):
        open_dataset(writer.path)[0]


@pytest.mark.parametrize(
    "content",
    [
        compress(bytes(10**6), 3),  # larger than a chunk
        compress(bytes(_CHUNK), 3) * 2,  # two frames
        compress(bytes(_CHUNK), 3)[:-1],
        b"\x28\xb5\x2f\xfd\x00\x58\x01\x00\x00",  # does not say its size
        bytes(100),
        b"",
    ],
)
def test_chunks_of_another_size_are_not_unpacked(writer, content):
    writer.write("a", [make_episode(0)])
    forge(writer.path / "shards/a.zarr", FILES[0], content)
    with pytest.raises(StoreError, match="shard 'a' is broken"):
        open_dataset(writer.path)[0]


@pytest.mark.parametrize("size", [1, 255, 256, 65_791, 65_792, 3_000_000])
@pytest.mark.parametrize("noise", [False, True])
def test_unpacked_size_is_zstds(size, noise):
    data = np.random.default_rng(0).bytes(size) if noise else bytes(size)
    assert unpacked_size(compress(data, 3)) == size


@pytest.mark.parametrize("steps", [10**12, 10**6, -1, True, "7", 1.0, 0])
def test_a_shard_that_claims_other_sizes(writer, steps):
    writer.write("a", [make_episode(0)])
    file = writer.path / "shards/a.zarr/zarr.json"
    head = json.loads(file.read_text())
    head["attributes"]["cezanne"]["episodes"][0]["steps"] = steps
    head["attributes"]["sha256"] = _digest(head["attributes"]["cezanne"])
    file.write_text(json.dumps(head))
    with pytest.raises(StoreError, match="shard 'a' is broken"):
        open_dataset(writer.path)[0]


@pytest.mark.parametrize("text", ["", "{}", "[1]", "\udcff", '{"attributes": {"cezanne": 3}}', "[" * 100_000])
def test_nonsense_instead_of_a_header(writer, text):
    writer.write("a", [])
    (writer.path / "shards/a.zarr/zarr.json").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(StoreError, match="shard 'a' is broken"):
        open_dataset(writer.path)


# --- who is killed, who shares, who has no room


def write_all(path: Path, shards: int, ready: Connection) -> None:
    writer = DatasetWriter(path, make_info())
    ready.send(True)
    for k in range(shards):
        if not writer.has(f"{k:03}"):
            writer.write(f"{k:03}", [make_episode(k, 20), make_episode(k + 100, 20)])


def test_a_killed_writer_leaves_whole_shards_only(tmp_path, processes):
    rng = np.random.default_rng(0)
    partial = 0
    for _ in range(10):
        ours, theirs = processes.Pipe()
        process = processes.Process(target=write_all, args=(tmp_path, 400, theirs))
        process.start()
        assert ours.poll(60)
        time.sleep(rng.uniform(0.05, 0.25))
        process.kill()
        process.join()
        partial += bool(leftovers(tmp_path))
        assert open_dataset(tmp_path).verify() == {}
    assert partial, "no kill fell into a write: the test proves nothing"
    there = len(open_dataset(tmp_path).shards)
    writer = DatasetWriter(tmp_path, make_info())
    assert leftovers(tmp_path) == []
    for k in range(there + 2):
        if not writer.has(f"{k:03}"):
            writer.write(f"{k:03}", [make_episode(k, 20), make_episode(k + 100, 20)])
    dataset = open_dataset(tmp_path)
    assert len(dataset) == 2 * (there + 2)
    assert all(same(dataset[2 * k + 1], make_episode(k + 100, 20)) for k in range(0, there + 2, 5))


def test_what_living_writers_write_stays(writer, processes):
    process = processes.Process(target=time.sleep, args=(60,))
    process.start()
    try:
        living = writer.path / "shards" / f"{_owner(process.pid)}0123.x"
        dead = writer.path / "shards" / living.name.replace(f"-{process.pid}-", "-4999999-")
        reused = writer.path / "shards" / living.name.replace(f"-{process.pid}-", f"-{os.getpid()}-")
        for folder in (living, dead, reused):
            folder.mkdir()
        DatasetWriter(writer.path, make_info())
        assert leftovers(writer.path) == [living]
        assert len(open_dataset(writer.path)) == 0
    finally:
        process.kill()
        process.join()


def write_what_is_free(path: Path, answer: Connection) -> None:
    writer, written = DatasetWriter(path, make_info()), []
    for k in range(8):
        try:
            writer.write(f"{k:03}", [make_episode(k)])
            written.append(k)
        except StoreError as error:
            if "is there already" not in str(error):
                raise
    answer.send(written)


def test_two_processes_write_one_dataset(tmp_path, processes):
    pipes = [processes.Pipe() for _ in range(2)]
    writers = [processes.Process(target=write_what_is_free, args=(tmp_path, theirs)) for _, theirs in pipes]
    for process in writers:
        process.start()
    assert all(ours.poll(60) for ours, _ in pipes)
    assert sorted(k for ours, _ in pipes for k in ours.recv()) == list(range(8))
    for process in writers:
        process.join()
    assert all(same(episode, make_episode(k)) for k, episode in enumerate(open_dataset(tmp_path)))
    assert leftovers(tmp_path) == []


def test_a_full_disk(writer):
    """The kernel itself refuses: no file may grow beyond 20 kB."""
    writer.write("a", [make_episode(0)])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(StoreError, match=r"cannot write shard 'b' of .*: File too large; what was stored before is kept"):
            writer.write("b", [make_episode(1, 90)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert leftovers(writer.path) == []
    assert not writer.has("b")
    writer.write("b", [make_episode(1, 90)])
    assert len(open_dataset(writer.path)) == 2


def test_ctrl_c_leaves_nothing(writer, monkeypatch):
    monkeypatch.setattr("episodes.writer.sync", lambda path: (_ for _ in ()).throw(KeyboardInterrupt))
    monkeypatch.setattr("episodes.shard._to_disk", lambda path: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        writer.write("a", [make_episode()])
    assert leftovers(writer.path) == []
    assert not writer.has("a")
