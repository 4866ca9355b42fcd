"""The same name for the same thing in all files of a run, and what each variable says of itself."""
import numpy as np

from ..records import hdf5, special

RENAMED = dict(expert="chosen", loss="token_loss")  # of held-out and sampled routing: `expert` is the coordinate, `loss` that of a step
FILL = -1
FILLED = dict(document="unknown", domain="unknown", task_block="belongs to none", chosen="beyond the choices of the layer")
FLAGS = dict(dropped="given refused", kept="refused given", task_meets="no yes")  # of 0 and 1
COORDINATES = dict(step="steps done, this one included", row="steps done, this one included", layer="transformer block, from 0",
                   expert="expert of the layer, from 0", margin_bin="lower edge of the bin", evaluation="steps done at the evaluation",
                   evaluation_step="steps done at the evaluation")


def _described(data):
    """Units, flags and fill values as attributes. The names of the conventions' attributes are CF's; units are the field's (nat, tokens),
    some of which UDUNITS does not know, so that the whole does not call itself CF."""
    for name, text in COORDINATES.items():
        if name in data.coords:
            data[name].attrs |= dict(long_name=text, units="steps" if "step" in text else "1")
    for name, variable in data.variables.items():
        if name in FILLED and variable.dtype.kind == "i":
            variable.attrs |= dict(_FillValue=variable.dtype.type(FILL), fill_meaning=FILLED[name])
        if name in FLAGS and variable.dtype.kind == "u" and variable.dtype.itemsize == 1:
            variable.attrs |= dict(flag_values=np.array([0, 1], variable.dtype), flag_meanings=FLAGS[name])
    names = special.domain_names(data)
    if names:
        data["domain"].attrs |= dict(flag_values=np.arange(len(names), dtype=data["domain"].dtype),
                                     flag_meanings=" ".join(n.replace(" ", "_") for n in names))
    return data.assign_attrs(Conventions=f"Switchyard-{data.attrs.get('schema_version', 0)}")


def of_run(data):
    """The rows of a run: `step` and `row` both find a step, `evaluation` finds an evaluation by the steps done, `expert` an expert."""
    data = data.assign_coords(step=data["step"]).set_xindex("step")
    if "expert" in data.dims:
        data = data.assign_coords(expert=np.arange(data.sizes["expert"], dtype=np.int32))
    if "evaluation_step" in data:
        data = data.assign_coords(evaluation=data["evaluation_step"].values).set_coords("evaluation_step")
    return _described(data)


def of_routing(data):
    """Held-out routing, or sampled training tokens: an evaluation goes by the steps done, a layer by its block; `chosen` are the experts of
    a token, and its own loss is `token_loss`."""
    data = data.rename({old: new for old, new in RENAMED.items() if old in data.data_vars})
    if "evaluation" in data.dims:
        data = data.rename(step="evaluation_step").set_coords("evaluation_step")
        data = data.assign_coords(evaluation=data["evaluation_step"].values)
    else:
        data = data.set_coords("step")
    if "token_text" in data:
        texts = [hdf5.text_of(t) for t in data["token_text"].values.astype("S16")]
        data["token_text"] = "vocabulary", np.array(texts), data["token_text"].attrs
    return _described(data)

