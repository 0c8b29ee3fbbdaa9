"""Images from a source to a served model: read, learned from, judged, and answered for in every form."""

import base64
import io
import json

import numpy as np
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from image_projects import LABELS, columns, draw, write_image_project
from jsonschema import Draft202012Validator
from learning_project import train_project
from PIL import Image
from registry_template import write_empty_registry

from components.evaluate_model.core import evaluate_model
from components.ingest_data.core import ingest_data
from components.train_model.checkpoints import Checkpoints
from components.train_model.core import make_learner
from components.train_model.heads import Head
from components.train_model.network import NetworkBuilder
from components.train_model.progress import LocalProgress
from mulgil.artifacts import Evaluation, TrainingHistory, WarmUpExample, read_bundle
from mulgil.contract import Task, load_project
from mulgil.contract.learning import Family
from mulgil.errors import InputError
from mulgil.home import SOURCE_ROOT
from mulgil.images import decode_image, encode_png
from mulgil.serving.application import Application
from mulgil.serving.grpc_messages import make_messages
from mulgil.serving.messages import Request
from mulgil.serving.model import TOLERANCE, ServedModel
from mulgil.serving.protocol_grpc import read_request


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The project's folder, with the bundle of its convolutional network."""
    root = tmp_path_factory.mktemp("stripes")
    project = write_image_project(root)
    train_project(project, root)
    return root


def _pictures(count=6):
    return [draw(5000 + place)[0] for place in range(count)]


def _graph(root, files):
    serve = tf.saved_model.load(str(root / "bundle" / "saved_model")).signatures["serving_default"]
    return serve(image=tf.constant(np.array(files, dtype=object)))["probabilities"].numpy()


def test_an_image_model_is_served_as_it_was_trained(trained):
    pictures = _pictures()
    colored = io.BytesIO()
    Image.fromarray(np.stack([pictures[0]] * 3, axis=-1)).resize((31, 17)).save(colored, "JPEG")
    files = [*map(encode_png, pictures), colored.getvalue()]
    served = np.array(ServedModel(trained / "bundle").predict({"image": files}, len(files)))
    np.testing.assert_allclose(served, _graph(trained, files), atol=TOLERANCE)
    assert served.std(axis=0).min() > 0.1
    read_bundle(trained / "bundle")
    assert not (trained / "bundle" / "background.json").exists()
    assert "b64" in WarmUpExample.read(trained / "bundle" / "example.json").instance["image"]


def test_an_image_model_is_judged_beside_a_linear_model_of_the_pixels(trained, monkeypatch):
    monkeypatch.setenv("MULGIL_HOME", str(trained / "home"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    write_empty_registry(trained / "home")
    verdict = evaluate_model(
        project_path=trained / "project",
        training_rows_path=trained / "rows",
        bundle_path=trained / "bundle",
        evaluation_path=trained / "evaluation.json",
        verdict_path=trained / "verdict.json",
    )
    evaluation = Evaluation.read(trained / "evaluation.json")
    assert verdict.is_approved
    assert evaluation.metrics["accuracy"].value > 0.9
    assert set(evaluation.reference) == set(evaluation.metrics)


@pytest.fixture(scope="module")
def application(trained):
    return Application(ServedModel(trained / "bundle"), name="stripes", version="1")


def _ask(application, path, body, headers=None):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    response = application.handle(Request("POST", path, headers or {}, content))
    return response.status, response.body if response.status == 200 else response.body.decode()


def test_the_openapi_page_describes_the_forms_of_an_image_by_an_example_that_is_answered(application):
    page = json.loads(application.handle(Request("GET", "/openapi.json")).body)
    assert b"A PNG or JPEG file in base64" in application.handle(Request("GET", "/docs")).body
    (name,) = page["components"]["schemas"]["InstanceByColumn"]["properties"]
    for path in ("/v1/models/stripes:predict", "/v2/models/stripes/infer"):
        content = page["paths"][path]["post"]["requestBody"]["content"]["application/json"]
        form = Draft202012Validator({**content["schema"], "components": page["components"]})
        bodies = [content["example"]]
        picture = _pictures(1)[0]
        if "instances" in content["example"]:
            file = {"b64": base64.b64encode(encode_png(picture)).decode()}
            bodies += [{"instances": [one]} for one in ({name: file}, file, [file], picture.tolist())]
        else:
            pixels = {
                "name": name,
                "shape": [1, *picture.shape],
                "datatype": "UINT8",
                "data": [picture.tolist()],
            }
            bodies.append({"inputs": [pixels]})
        for body in bodies:
            assert _ask(application, path, body)[0] == 200
            assert form.is_valid(body), body
        assert not form.is_valid({"instances": [{name: 3}], "inputs": []})


def test_every_form_of_a_request_gives_the_same_answer(trained, application):
    picture = _pictures(1)[0]
    file = encode_png(picture)
    encoded = base64.b64encode(file).decode()
    expected = _graph(trained, [file])[0]
    shapes = [picture.tolist(), picture.reshape(-1).tolist(), picture[..., None].tolist()]
    instances = [
        {"image": {"b64": encoded}},
        {"b64": encoded},
        {"image": encoded},
        [{"b64": encoded}],
        *shapes,
        *({"image": shape} for shape in shapes),
    ]
    status, body = _ask(application, "/v1/models/stripes:predict", {"instances": instances})
    assert status == 200, body
    for answer in json.loads(body)["predictions"]:
        np.testing.assert_allclose(list(answer["probabilities"].values()), expected, atol=TOLERANCE)

    tensors = [
        {"shape": [1], "datatype": "BYTES", "data": [encoded]},
        *(
            {"shape": [1, *np.shape(shape)], "datatype": datatype, "data": [shape]}
            for shape in shapes
            for datatype in ("UINT8", "FP32")
        ),
        {"shape": [1, 100], "datatype": "INT64", "data": shapes[1]},
    ]
    for tensor in tensors:
        status, body = _ask(
            application, "/v2/models/stripes/infer", {"inputs": [{"name": "image", **tensor}]}
        )
        assert status == 200, body
        np.testing.assert_allclose(json.loads(body)["outputs"][1]["data"], expected, atol=TOLERANCE)

    contents = [
        ("BYTES", [1], len(file).to_bytes(4, "little") + file),
        ("UINT8", [1, 10, 10, 1], picture.tobytes()),
        ("FP32", [1, 10, 10], picture.astype("<f4").tobytes()),
    ]
    for datatype, shape, content in contents:
        tensor = {"name": "image", "shape": shape, "datatype": datatype}
        tensor["parameters"] = {"binary_data_size": len(content)}
        head = json.dumps({"inputs": [tensor]}).encode()
        length = {b"inference-header-content-length": str(len(head)).encode()}
        status, body = _ask(application, "/v2/models/stripes/infer", head + content, length)
        assert status == 200, body
        np.testing.assert_allclose(json.loads(body)["outputs"][1]["data"], expected, atol=TOLERANCE)


@pytest.mark.parametrize("is_raw", [True, False], ids=["raw contents", "typed contents"])
def test_grpc_takes_files_and_pixels(trained, application, is_raw):
    picture = _pictures(1)[0]
    file = encode_png(picture)
    make = make_messages()["ModelInferRequest"]
    for datatype, shape, content, field, values in (
        ("BYTES", [1], len(file).to_bytes(4, "little") + file, "bytes_contents", [file]),
        ("UINT8", [1, 100], picture.tobytes(), "uint_contents", picture.reshape(-1).tolist()),
    ):
        tensor = {"name": "image", "datatype": datatype, "shape": shape}
        message = make(inputs=[tensor if is_raw else {**tensor, "contents": {field: values}}])
        if is_raw:
            message.raw_input_contents.append(content)
        request, rest = read_request(message, application.image)
        [answer] = application.infer(request, rest, Request("POST", "ModelInfer"))
        np.testing.assert_allclose(answer, _graph(trained, [file])[0], atol=TOLERANCE)


PNG = base64.b64encode(encode_png(np.zeros((10, 10), np.uint8))).decode()


@pytest.mark.parametrize(
    ("instances", "message"),
    [
        ([{"image": "no"}], "instance 0, column image: expected a PNG or JPEG file in base64"),
        ([{"b64": PNG}, {"b64": "aGFsbG8="}], "instance 1, column image: expected a PNG or JPEG file"),
        ([[1, 2, 3]], "expected 10 rows of 10 pixels, or all of them in one list, each from 0 to 255"),
        ([[256] * 100], "received a number that is none of these"),
        ([{}], "column image: expected an image, received nothing"),
        ([{"image": None}], "received nothing"),
        ([{"image": PNG, "name": 1}], "column name: expected only the model's columns"),
        ([{"key": 1}], "no store keeps by key: send the image itself"),
        ([[float("1e300")] * 100], "expected 10 rows"),
    ],
)
def test_a_request_that_is_no_image_is_refused_with_words(application, instances, message):
    status, body = _ask(application, "/v1/models/stripes:predict", {"instances": instances})
    assert status == 400
    assert message in body


def test_a_request_of_more_pixels_than_can_be_decoded_at_once_is_refused(application, monkeypatch):
    monkeypatch.setattr("mulgil.serving.image_encoder._MOST_PIXELS_AT_ONCE", 250)
    status, body = _ask(application, "/v1/models/stripes:predict", {"instances": [{"b64": PNG}] * 3})
    assert status == 400
    assert "instance 2, column image: expected at most 250 pixels in a request" in body


def test_an_image_is_not_explained_by_columns(application):
    status, body = _ask(application, "/v1/models/stripes:explain", {"instances": [{"b64": PNG}]})
    assert status == 404
    assert "not explained by its columns" in body


def test_the_sign_language_network_has_as_many_weights_as_it_should(capsys, tmp_path):
    folder = load_project(SOURCE_ROOT / "projects" / "sign_language")
    learner = make_learner(Family.NEURAL_NETWORK, folder, Checkpoints(LocalProgress(tmp_path)))
    network = learner.builder.build(28 * 28, Head(Task.MULTICLASS_CLASSIFICATION, 24))
    network.summary()
    assert "Total params: 226,840" in capsys.readouterr().out


def _builder(tmp_path, **training):
    folder = write_image_project(tmp_path, training=training).folder
    return NetworkBuilder(folder.project.training, folder.dictionary.features[0].image, folder.path)


def test_every_regularisation_is_in_the_network_and_none_in_what_is_served(tmp_path):
    builder = _builder(
        tmp_path,
        batch_normalization=True,
        l1=0.01,
        l2=0.01,
        augmentation={"shift": 0.2, "rotation": 30, "zoom": 0.2, "flip": True},
    )
    network = builder.build(100, Head(Task.MULTICLASS_CLASSIFICATION, 2))
    kinds = [type(layer).__name__ for layer in network.layers]
    for kind in ("RandomFlip", "RandomTranslation", "RandomRotation", "RandomZoom", "Dropout"):
        assert kind in kinds
    assert kinds.count("BatchNormalization") == 2
    assert len(network.losses) == 3
    rows = np.random.default_rng(0).random((4, 100), np.float32)
    np.testing.assert_array_equal(network(rows, training=False), network(rows, training=False))
    assert np.abs(np.asarray(network(rows, training=True)) - np.asarray(network(rows))).max() > 1e-3


OWN = """
import keras

def build_model(spec, hyperparameters):
    return keras.Sequential([
        keras.Input(spec.input_shape),
        keras.layers.Flatten(),
        keras.layers.Dense(int(hyperparameters["units"]), activation="relu"),
        keras.layers.Dense(spec.outputs, activation=spec.activation),
    ])
"""


def test_a_projects_own_network_is_trained_and_served(tmp_path):
    training = {
        "convolutions": [],
        "builder": "network:build_model",
        "hyperparameters": {"units": 5},
        "max_epochs": 2,
    }
    project = write_image_project(tmp_path, training=training)
    (project.path / "network.py").write_text(OWN)
    train_project(project, tmp_path)
    history = TrainingHistory.read(tmp_path / "history.json")
    assert history.parameters == 100 * 5 + 5 + 5 * 2 + 2
    files = [encode_png(picture) for picture in _pictures()]
    served = ServedModel(tmp_path / "bundle").predict({"image": files}, len(files))
    np.testing.assert_allclose(served, _graph(tmp_path, files), atol=TOLERANCE)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("", "There is no function"),
        ("def build_model(spec, hyperparameters): return 3", "received: int|Received: int"),
        ("def build_model(spec, hyperparameters): return spec.widht", "has no attribute 'widht' .line 1."),
        (OWN.replace("spec.outputs", "7"), r"to \(None, 7\)"),
        (None, "cannot be read"),
    ],
)
def test_a_projects_own_network_that_is_none_is_refused_with_words(tmp_path, code, message):
    builder = _builder(tmp_path, builder="network:build_model", hyperparameters={"units": 5})
    if code is not None:
        (builder.folder / "network.py").write_text(code)
    with pytest.raises(InputError, match=message):
        builder.build(100, Head(Task.MULTICLASS_CLASSIFICATION, 2))


def _ingest(root, project):
    manifest = ingest_data(
        project_path=project.path,
        source="",
        dataset_path=root / "dataset",
        quarantine_path=root / "quarantine",
    )
    rows = [pq.read_table(root / "dataset" / f"{split}.parquet").to_pylist() for split in manifest.rows]
    return manifest, [row for part in rows for row in part]


def test_a_folder_of_images_becomes_rows_and_what_is_no_image_is_set_aside(tmp_path):
    own = columns()
    own[0] = {"name": "path", "role": "entity", "type": "text", "description": "The file."}
    project = write_image_project(tmp_path, own)
    for seed in range(40):
        picture, label = draw(seed)
        folder = project.path / "images" / label
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{seed}.png").write_bytes(encode_png(picture))
    (project.path / "images" / "down" / "notes.txt").write_text("no image")
    (project.path / "images" / ".hidden").write_text("not seen")
    (project.path / "images" / "stray.png").write_bytes(encode_png(draw(77)[0]))

    manifest, rows = _ingest(tmp_path, project)

    assert (manifest.rows_read, manifest.rows_quarantined, len(rows)) == (42, 2, 40)
    for row in rows:
        seed = int(row["path"].rpartition("/")[2].removesuffix(".png"))
        picture, label = draw(seed)
        assert (row["label"], row["path"]) == (label, f"{label}/{seed}.png")
        read = decode_image(row["image"], project.folder.dictionary.features[0].image)
        np.testing.assert_array_equal(read, picture.reshape(-1))
    reasons = (tmp_path / "quarantine" / "rows.jsonl").read_text()
    assert "expected a PNG or JPEG file" in reasons
    assert "label: expected a value" in reasons
    again, _ = _ingest(tmp_path, project)
    assert again.fingerprint == manifest.fingerprint


def test_pixels_in_columns_become_images_and_wrong_ones_are_set_aside(tmp_path):
    project = write_image_project(
        tmp_path,
        columns(first_pixel="p01"),
        source={"kind": "csv", "location": "rows.csv"},
    )
    lines = ["label," + ",".join(f"p{number:02}" for number in range(1, 101))]
    for seed in range(40):
        picture, label = draw(seed)
        lines.append(",".join([label, *map(str, picture.reshape(-1))]))
    lines += [",".join(["down", cell, *["7"] * 99]) for cell in ("256", "-1", "1.5", "x", "")]
    (project.path / "rows.csv").write_text("\n".join(lines))

    manifest, rows = _ingest(tmp_path, project)

    assert (manifest.rows_read, manifest.rows_quarantined) == (45, 5)
    form = project.folder.dictionary.features[0].image
    for row in rows:
        picture, label = draw(row["key"] - 1)
        assert row["label"] == label
        np.testing.assert_array_equal(decode_image(row["image"], form), picture.reshape(-1))
    assert "whole number from 0 to 255" in (tmp_path / "quarantine" / "rows.jsonl").read_text()


def test_a_pixel_that_is_not_there_is_named(tmp_path):
    project = write_image_project(
        tmp_path, columns(first_pixel="p0"), source={"kind": "csv", "location": "rows.csv"}
    )
    (project.path / "rows.csv").write_text("label,p0,p1\ndown,1,2\n")
    with pytest.raises(InputError, match=r"has not all pixels of image(.|\n)*no p2 and 97 more"):
        _ingest(tmp_path, project)


def test_images_in_parquet_are_read_in_their_usual_forms(tmp_path):
    project = write_image_project(tmp_path, source={"kind": "python", "function": "source:load"})
    (project.path / "source.py").write_text(
        "import numpy as np, pandas as pd\n"
        "from image_projects import draw\n"
        "from mulgil.images import encode_png\n"
        "def load():\n"
        "    drawn = [draw(seed) for seed in range(40)]\n"
        "    images = [[p, p.tolist(), encode_png(p), {'bytes': encode_png(p), 'path': ''}][i % 4]\n"
        "              for i, (p, _) in enumerate(drawn)]\n"
        "    return pd.DataFrame({'image': images, 'label': [label for _, label in drawn]})\n"
    )
    manifest, rows = _ingest(tmp_path, project)
    assert (manifest.rows_read, manifest.rows_quarantined) == (40, 0)
    form = project.folder.dictionary.features[0].image
    for row in rows:
        picture = draw(row["key"] - 1)[0]
        np.testing.assert_array_equal(decode_image(row["image"], form), picture.reshape(-1))
    assert {row["label"] for row in rows} == set(LABELS)
