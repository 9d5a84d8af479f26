"""Check that the shapes of outputs and targets fit a loss, dimension by dimension, before they are flattened."""

from critlearn.compositions import OutputLoss, TokenCrossEntropy
from critlearn.errors import InvalidInputError
from critlearn.network.losses.differentiated import DifferentiatedLoss


def check_layout(loss: OutputLoss, outputs: tuple[int, ...], targets: tuple[int, ...]) -> None:
    """Raise if numbers of a sample would be read in another order than they have.

    Parameters
    ----------
    loss
        The loss.
    outputs, targets
        Shapes for one sample; dimensions of length 1 do not count.

    Raises
    ------
    InvalidInputError
        If outputs of positions have one target, positions are not those of the targets, or dimensions are swapped.
    """
    if isinstance(loss, DifferentiatedLoss):
        return
    if isinstance(loss, TokenCrossEntropy):
        places = outputs[:-1] if loss.classes_last else outputs[1:]
        if len(outputs) == len(targets) + 1 and places != targets:
            order = "(token, class)" if loss.classes_last else "(class, token), torch's order,"
            raise InvalidInputError(
                f"outputs of a sample are read as {order} from the first batch on; got outputs of shape {outputs} and "
                f"targets of shape {targets}"
            )
        return
    wide, wanted = ([size for size in shape if size > 1] for shape in (outputs, targets))
    if loss.class_targets and len(wide) > 1:
        raise InvalidInputError(
            f'"{loss.name}" takes outputs (sample, class) and one class index per sample; got outputs of shape '
            f"{outputs} for each sample: give a class at each position, or one output for the whole sample"
        )
    if not loss.class_targets and len(wide) == len(wanted) and wide != wanted and sorted(wide) == sorted(wanted):
        raise InvalidInputError(
            f"outputs of shape {outputs} and targets of shape {targets} of a sample have their dimensions in another "
            "order"
        )
