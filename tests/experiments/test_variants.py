"""Variants: what they change, what they leave, what is kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from pdnet.base.manifest import bring
from pdnet.config import load_config, variant_configs
from pdnet.data.images import read_labels
from pdnet.data.layout import read_tree
from pdnet.data.skeleton import body_parts
from pdnet.errors import InputError
from pdnet.experiments.variants import Places, run_variant
from pdnet.sample.render import clip_units
from pdnet.sample.series import series
from pdnet.training.loop import Training
from tests.helpers import TINY, make_tree, write_params


@pytest.fixture
def ablation_params(tmp_path):
    raw = yaml.safe_load(write_params(tmp_path / "p.yaml", **TINY).read_text())
    raw["ablation"] |= {
        "seeds": [1, 2],
        "set": {"train.epochs": 1, "train.steps_per_epoch": 1, "train.holdout": []},
    }
    (tmp_path / "p.yaml").write_text(yaml.safe_dump(raw))
    return tmp_path / "p.yaml"


def test_a_variant_is_trained_scored_and_not_trained_again(tmp_path, ablation_params):
    data = make_tree(tmp_path / "data")
    clips = [c for c in series([0.0, 2.0], 11) if "walkers" not in c.name]
    bring(tmp_path / "series", clip_units(clips, between=False), "render", workers=1)
    assert len(read_tree(tmp_path / "series").clips("val")[0].frames) == 3
    labels = tmp_path / "series/Parts/480p/imbalance/speaker-0/00005.png"
    assert (body_parts(read_labels(labels)) == 0).any()
    places = Places(
        data=data, series=tmp_path / "series", work=tmp_path / "work", out=tmp_path / "out"
    )
    run_variant(ablation_params, "full", places)
    table = pd.read_csv(tmp_path / "out/clips.csv")
    assert (
        set(table.seed) == {1, 2}
        and set(table["clip"]) == {"b/three"}
        and table["J&F"].between(0, 1).all()
    )
    limbs = pd.read_csv(tmp_path / "out/imbalance.csv")
    assert set(limbs.level) == {0, 2} and limbs.J_limbs.between(0, 1).all()
    own, unrelated = (limbs[limbs.variant == name] for name in ("full", "full-unrelated"))
    assert len(own) == len(unrelated) == 8 and not np.array_equal(own.J, unrelated.J)
    frames = pd.read_csv(tmp_path / "out/frames.csv", dtype={"frame": str})
    assert frames[frames.seed == 1].J.mean() == pytest.approx(table[table.seed == 1].J.mean())
    assert not list((tmp_path / "work").rglob("*.pt")), "a finished training leaves no state"
    trained = tmp_path / "work/full/1/pdnet.safetensors"
    before, stamp = (tmp_path / "out/clips.csv").read_bytes(), trained.stat().st_mtime_ns
    run_variant(ablation_params, "full", places)
    assert trained.stat().st_mtime_ns == stamp
    assert (tmp_path / "out/clips.csv").read_bytes() == before


def test_a_variant_changes_what_it_names(ablation_params):
    configs = variant_configs(ablation_params, "no-ipda")
    assert (
        set(configs) == {1, 2} and configs[2].seed == 2 and configs[1].model.interaction == "none"
    )
    assert configs[1].train.epochs == 1 and load_config(ablation_params).train.epochs == 2
    for name in load_config(ablation_params).ablation.variants:
        variant_configs(ablation_params, name)
    with pytest.raises(InputError, match="'nothing' is no variant; known: .*full"):
        variant_configs(ablation_params, "nothing")


def test_a_variant_with_an_unknown_parameter_is_named(ablation_params):
    raw = yaml.safe_load(ablation_params.read_text())
    raw["ablation"]["variants"]["odd"] = {"model.partz": 3}
    ablation_params.write_text(yaml.safe_dump(raw))
    with pytest.raises(
        InputError, match=r"ablation\.variants\.odd: unknown parameter 'model\.partz'"
    ):
        variant_configs(ablation_params, "odd")


def frozen_params(root: Path, data: Path, **changes: object) -> Path:
    """Short variants on one trained encoder that does not learn any more."""
    root.mkdir()
    started = Training(load_config(write_params(root / "p.yaml", **TINY)), data, root / "models")
    start = {"train.start": str(started.fit()), "train.start_part": "encoder"}
    short = {**start, "train.freeze_encoder": True, "train.epochs": 1, "train.holdout": []}
    values = {"ablation.seeds": [1, 2], "ablation.set": short}
    return write_params(root / "p.yaml", **TINY, **values, **changes)


def test_a_frozen_encoder_sees_a_frame_once_for_all_variants_and_no_bit_differs(tmp_path):
    data, results = make_tree(tmp_path / "data"), []
    for name, limit in (("plain", 0.0), ("kept", 1.0)):
        params = frozen_params(tmp_path / name, data, machine__features_gib=limit)
        places = Places(data, tmp_path / "none", tmp_path / name / "work", tmp_path / name / "out")
        counts, tables = [], {}
        for variant in ("full", "no-ipda", "one-part"):
            run_variant(params, variant, places)
            counts.append(len(list(places.features.glob("*.pt"))))
            tables[variant] = [file.read_bytes() for file in sorted(places.out.iterdir())]
        results.append(tables)
        # five frames of the evaluation clip; three steps of two seeds, targets and references
        assert set(counts) == ({0} if name == "plain" else {5 + 2 * 3 * 2})
    assert results[0] == results[1]
