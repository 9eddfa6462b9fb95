"""Make the demo task of recognising ten kinds of musical sounds in a mix.

The files of each kind are divided over the splits and then mixed, so no file is in two splits,
except a quiet hiss that is in every clip.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tasks.format.spec import PredictionType
from tools.demo_recipes.layout import DemoClip, DemoTask
from tools.demo_recipes.sonic_pi import Samples
from tools.demo_recipes.sound import RATE, Sound, at_level, cut, fade, random_stretch

_KINDS = {
    "ambience": "ambi_choir ambi_drone ambi_glass_hum ambi_glass_rub ambi_haunted_hum "
    "ambi_lunar_land ambi_soft_buzz",
    "bass": "bass_dnb_f bass_drop_c bass_hard_c bass_hit_c bass_thick_c bass_trance_c "
    "bass_voxy_c bass_voxy_hit_c bass_woodsy_c",
    "blip": "elec_beep elec_bell elec_blip elec_blip2 elec_blup elec_bong elec_chime elec_ping "
    "elec_plip elec_pop elec_triangle elec_twang elec_twip",
    "cymbal": "drum_cymbal_closed drum_cymbal_hard drum_cymbal_open drum_cymbal_pedal "
    "drum_cymbal_soft drum_splash_hard drum_splash_soft elec_cymbal",
    "guitar": "guit_e_fifths guit_e_slide guit_em9 guit_harmonics",
    "kick": "bd_808 bd_ada bd_boom bd_fat bd_gas bd_haus bd_klub bd_pure bd_sone bd_tek bd_zome "
    "bd_zum drum_bass_hard drum_bass_soft drum_heavy_kick elec_hollow_kick elec_soft_kick",
    "snare": "drum_snare_hard drum_snare_soft elec_filt_snare elec_hi_snare elec_lo_snare "
    "elec_mid_snare elec_snare sn_dolf sn_dub sn_zome",
    "sweep": "ambi_dark_woosh ambi_swoosh perc_swash vinyl_backspin vinyl_rewind vinyl_scratch",
    "tabla": "tabla_dhec tabla_ghe1 tabla_ghe2 tabla_ghe3 tabla_ghe4 tabla_ghe5 tabla_ghe6 "
    "tabla_ghe7 tabla_ghe8 tabla_na tabla_na_o tabla_na_s tabla_re tabla_tas1 tabla_tas2 "
    "tabla_tas3 tabla_te1 tabla_te2 tabla_te_m tabla_tun1 tabla_tun2 tabla_tun3",
    "tom": "drum_tom_hi_hard drum_tom_hi_soft drum_tom_lo_hard drum_tom_lo_soft "
    "drum_tom_mid_hard drum_tom_mid_soft elec_fuzz_tom",
}
_CLIPS = {"train": 120, "valid": 50, "test": 70}
_SECONDS = 2.0
_LONGEST = 1.25
"""Maximum length of a sample in seconds; it is shorter than the clip, so its position varies."""
_HISS = "vinyl_hiss"
_HISS_LEVEL = -70.0
"""Level of the hiss, in dB relative to full scale; without it, clips would have digital silence."""
_TOGETHER = (1, 4)
"""Minimum and maximum number of kinds in a clip."""


def build(work: Path) -> DemoTask:
    """Return the task of 240 clips, each a mix of one to four kinds."""
    rng = np.random.default_rng(103)
    samples = Samples(work)
    files = _divide(rng)
    return DemoTask(
        task_name="demo_sample_mix",
        title="Musical sounds in a mix",
        prediction_type=PredictionType.MULTILABEL,
        evaluation=("mAP", "d_prime", "aucroc"),
        sample_duration=_SECONDS,
        labels=tuple(_KINDS),
        splits=tuple(_CLIPS),
        clips={
            split: [_clip(f"{split}_{i:03d}", files[split], samples, rng) for i in range(n)]
            for split, n in _CLIPS.items()
        },
        licence="CC0-1.0",
        changes="One to four samples were cut to 1.25 s at most, set to random levels and added up "
        "at random places of a clip, over a faint hiss.",
    )


def _divide(rng: np.random.Generator) -> dict[str, dict[str, list[str]]]:
    """Divide the files of each kind over the splits, about 60, 20 and 20 %, at least one each."""
    files: dict[str, dict[str, list[str]]] = {split: {} for split in _CLIPS}
    for kind, names in _KINDS.items():
        shuffled = [str(name) for name in rng.permutation(names.split())]
        held_out = max(1, round(0.2 * len(shuffled)))
        files["test"][kind] = shuffled[:held_out]
        files["valid"][kind] = shuffled[held_out : 2 * held_out]
        files["train"][kind] = shuffled[2 * held_out :]
    return files


def _clip(
    name: str, files: dict[str, list[str]], samples: Samples, rng: np.random.Generator
) -> DemoClip:
    n_kinds = int(rng.integers(_TOGETHER[0], _TOGETHER[1] + 1))
    kinds = sorted(str(kind) for kind in rng.choice(list(_KINDS), n_kinds, replace=False))
    chosen = [str(rng.choice(files[kind])) for kind in kinds]
    mix = at_level(random_stretch(samples.sound(_HISS), _SECONDS, rng), _HISS_LEVEL)
    for file in chosen:
        sound = _excerpt(samples.sound(file), rng)
        start = int(rng.integers(0, len(mix) - len(sound) + 1))
        mix[start : start + len(sound)] += at_level(sound, rng.uniform(-32, -20))
    return DemoClip(name, mix, kinds, tuple(samples.recording(file) for file in (*chosen, _HISS)))


def _excerpt(sound: Sound, rng: np.random.Generator) -> Sound:
    """Cut a sound to the maximum length from its start, which usually contains the attack."""
    longest = min(_LONGEST, len(sound) / RATE)
    return fade(cut(sound, longest), start=0.0)
