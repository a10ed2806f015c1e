"""What a run is worth: one module per family of figures, all of plain values.

`accuracy` and `video_groups` score answers, `rankings` and `moments` score what was retrieved,
`attribution` the modality that was named, `calibration` the confidence that was stated. Intervals
and tests for all of them are in `eval.stats`. Only `rankings` needs ir_measures.
"""
