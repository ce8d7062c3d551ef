"""The mathematics, on torch alone: pure functions of tensors, on any device, without hidden state."""

from steelyard.functional.features import (
    center_distance,
    moved_centers,
    nearest_centers,
    separability,
    squared_distances,
    widest_ranges,
)
from steelyard.functional.gradients import (
    cross_entropy_and_grad,
    logit_grad_sq_norm,
    loss_and_logit_grad,
)
from steelyard.functional.margins import additive_margin_psi, arcface_psi, large_margin_psi
from steelyard.functional.per_sample import (
    balanced_softmax,
    balanced_weights,
    binary_cross_entropy,
    binary_margin_cross_entropy,
    cross_entropy,
    effective_number_weights,
    focal,
    ldam,
    ldam_margins,
    log_prior,
    logit_adjusted,
    weighted_cross_entropy,
)
from steelyard.functional.probability import (
    generalised_cross_entropy,
    sparsemax,
    sparsemax_loss,
    squared_error,
)
from steelyard.functional.ranking import (
    critical_log_odds,
    critical_scores,
    hinge_fpr_at_tpr,
    hinge_rank_sums,
    squared_hinge_rank_sums,
    squared_rank_loss,
)
from steelyard.functional.scales import is_sure, margin, weight_norm_product
from steelyard.functional.simplex import low_weights, project_simplex
from steelyard.functional.uncertainty import (
    misclassification_probability,
    mutual_information,
    predictive_entropy,
    predictive_variance,
    two_class_logits,
)

__all__ = [
    "additive_margin_psi",
    "arcface_psi",
    "balanced_softmax",
    "balanced_weights",
    "binary_cross_entropy",
    "binary_margin_cross_entropy",
    "center_distance",
    "critical_log_odds",
    "critical_scores",
    "cross_entropy",
    "cross_entropy_and_grad",
    "effective_number_weights",
    "focal",
    "generalised_cross_entropy",
    "hinge_fpr_at_tpr",
    "hinge_rank_sums",
    "is_sure",
    "large_margin_psi",
    "ldam",
    "ldam_margins",
    "log_prior",
    "logit_adjusted",
    "logit_grad_sq_norm",
    "loss_and_logit_grad",
    "low_weights",
    "margin",
    "misclassification_probability",
    "moved_centers",
    "mutual_information",
    "nearest_centers",
    "predictive_entropy",
    "predictive_variance",
    "project_simplex",
    "separability",
    "sparsemax",
    "sparsemax_loss",
    "squared_distances",
    "squared_error",
    "squared_hinge_rank_sums",
    "squared_rank_loss",
    "two_class_logits",
    "weight_norm_product",
    "weighted_cross_entropy",
    "widest_ranges",
]
