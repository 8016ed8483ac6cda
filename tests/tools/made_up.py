"""Raw files of made-up image sets, in the formats of the real ones."""

import gzip
import io
import pickle
import struct
import tarfile

import numpy as np
import scipy.io

COUNTS = {"train": 15, "test": 3, "extra": 4}
FINE = [f"fine{k}" for k in range(100)]
COARSE = [f"coarse{k}" for k in range(20)]


def draw(side, channels, classes):
    """dict of split -> (images, labels), made up."""
    rng = np.random.default_rng(0)
    return {
        split: (
            rng.integers(0, 256, [count, side, side, channels], np.uint8),
            rng.integers(0, classes, count).astype(np.uint8),
        )
        for split, count in COUNTS.items()
    }


def write_idx(folder, data, packed):
    for split, prefix in (("train", "train"), ("test", "t10k")):
        images, labels = data[split]
        for name, array in (("images-idx3", images[..., 0]), ("labels-idx1", labels)):
            head = struct.pack(f">{1 + array.ndim}I", 0x800 + array.ndim, *array.shape)
            content = head + array.tobytes()
            path = folder / f"{prefix}-{name}-ubyte{'.gz' if packed else ''}"
            path.write_bytes(gzip.compress(content) if packed else content)


def planes(images):
    return images.transpose(0, 3, 1, 2).reshape(len(images), -1)


def cifar_files(data, hundred, binary):
    """dict of file name -> bytes, as in the archives."""
    parts = {"train": ["train"], "test": ["test"]}
    if not hundred:
        parts = {"train": [f"data_batch_{i}" for i in range(1, 6)], "test": ["test_batch"]}
    files = {}
    for split, names in parts.items():
        shares = [np.array_split(array, len(names)) for array in data[split]]
        for name, images, labels in zip(names, *shares, strict=True):
            columns = [labels // 5, labels] if hundred else [labels]
            if binary:
                rows = np.concatenate([np.stack(columns, 1), planes(images)], axis=1)
                files[f"{name}.bin"] = rows.tobytes()
                continue
            keys = [b"coarse_labels", b"fine_labels"] if hundred else [b"labels"]
            lists = [column.tolist() for column in columns]
            batch = {b"data": planes(images), **dict(zip(keys, lists, strict=True))}
            files[name] = pickle.dumps(batch, protocol=2)
    if hundred and binary:
        files["fine_label_names.txt"] = "\n".join(FINE).encode()
        files["coarse_label_names.txt"] = "\n".join(COARSE).encode()
    elif hundred:
        lists = {b"fine_label_names": FINE, b"coarse_label_names": COARSE}
        lists = {key: [name.encode() for name in names] for key, names in lists.items()}
        files["meta"] = pickle.dumps(lists, protocol=2)
    return files


def write_archive(path, files):
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f"top/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def write_raw(folder, name, kind):
    """Made-up raw files of a set; returns dict of split -> (images, labels)."""
    folder.mkdir(parents=True, exist_ok=True)
    if name == "svhn_cropped":
        data = draw(32, 3, 10)
        for split in ("train", "test", "extra") if kind == "extra" else ("train", "test"):
            images, labels = data[split]
            digits = np.where(labels == 0, 10, labels)[:, None]
            arrays = {"X": np.moveaxis(images, 0, -1), "y": digits}
            scipy.io.savemat(folder / f"{split}_32x32.mat", arrays, do_compression=True)
        return data
    if name.startswith("cifar"):
        data = draw(32, 3, 100 if name == "cifar100" else 10)
        files = cifar_files(data, name == "cifar100", kind == "binary")
        if kind == "folder":
            for file, content in files.items():
                (folder / file).write_bytes(content)
        else:
            write_archive(folder / f"{name[:5]}-{name[5:]}-{kind}.tar.gz", files)
        return data
    data = draw(28, 1, 10)
    write_idx(folder, data, kind == "gz")
    return data
