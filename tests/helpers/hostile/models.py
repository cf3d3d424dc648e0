"""Model files, checkpoints and palettes whose content leads elsewhere."""

from __future__ import annotations

import json
import pickle

from hostile.elsewhere import vrt
from hostile.kit import URL, Commands, Kit, Opens, kind


@kind
def model_files(kit: Kit) -> Commands:
    import onnx

    commands = []
    for name, location in (
        ("absolute", str(kit.outside / "secret.bin")),
        ("parents", "../../outside/secret.bin"),
        ("url", f"{URL}/w.bin"),
    ):
        model = onnx.load(kit.model)
        tensor = max(model.graph.initializer, key=lambda each: len(each.raw_data))
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=location)
        path = kit.folder / f"{name}.onnx"
        path.write_bytes(model.SerializeToString())
        commands += [
            ["info", str(path)],
            ["embed", str(kit.scene), "--model", str(path), "-q", "-o", f"model-{name}"],
            [
                "embed",
                str(kit.scene),
                "--model",
                str(path),
                "--backend",
                "onnxruntime",
                "-q",
                "-o",
                f"model-{name}",
            ],
            ["verify", str(path)],
            ["verify", "demo", "--reference", str(path)],
            ["bench", str(path)],
        ]
    return commands


@kind
def checkpoints(kit: Kit) -> Commands:
    import torch

    path = kit.folder / "model.pt"
    torch.save({"state_dict": Opens(kit), "model_state_dict": Opens(kit)}, path)
    old = kit.folder / "old.pt"
    old.write_bytes(pickle.dumps(Opens(kit)))
    return [
        command
        for each in (str(path), str(old))
        for command in (
            ["export", each, "-o", "stolen.onnx"],
            ["model", "import", each, "--name", "stolen"],
            ["verify", "demo", "--reference", each],
            ["distil", str(kit.scene), "--teacher", each, "-o", "stolen.pt"],
            ["info", each],
        )
    ]


@kind
def palettes(kit: Kit) -> Commands:
    commands = []
    for name, content in (
        ("vrt", vrt(str(kit.outside / "raster.tif"))),
        (
            "reference",
            json.dumps({"tessera-engine palette": 1, "$ref": str(kit.outside / "secret.bin"), "kind": "pca"}),
        ),
    ):
        path = kit.folder / f"{name}.json"
        path.write_text(content)
        commands.append(
            ["picture", str(kit.outputs["cog"]), "--palette", str(path), "-o", f"palette-{name}.png", "-q"]
        )
    return commands
