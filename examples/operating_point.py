"""Two models at an operating point, from saved predictions: measures, an interval, a threshold and a test.

Run with ``python examples/operating_point.py``. Malignant tumours (class 0) must not be missed.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from steelyard import metrics
from steelyard.records import Predictions

TPR = 0.95

if __name__ == "__main__":
    x, y = load_breast_cancer(return_X_y=True)
    train, val, test = np.split(np.random.default_rng(0).permutation(len(y)), [200, 350])
    folder = Path(tempfile.mkdtemp())
    models = {"logistic": LogisticRegression(), "bayes": GaussianNB()}
    for name, model in models.items():
        fitted = make_pipeline(StandardScaler(), model).fit(x[train], y[train])
        for part, rows in (("val", val), ("test", test)):
            Predictions(fitted.predict_log_proba(x[rows]), y[rows], rows).save(folder / f"{name}_{part}.npz")

    scores = {}
    for name in models:  # everything from here on needs the files alone
        found = {part: Predictions.load(folder / f"{name}_{part}.npz") for part in ("val", "test")}
        score = {part: metrics.critical_score(p.logits, critical=[0]) for part, p in found.items()}
        positive = {part: (p.target == 0).astype(int) for part, p in found.items()}
        alarms = metrics.bootstrap_interval(
            lambda target, score: metrics.fpr_at_tpr(target, score, TPR),
            positive["test"],
            score["test"],
            rng=np.random.default_rng(0),
        )
        cut = metrics.threshold_at_tpr(positive["val"], score["val"], TPR)
        decision = metrics.decide(score["test"], cut)
        sensitivity = metrics.recall_per_class(positive["test"], decision)[1]
        print(
            f"{name}: false alarms at {TPR:.0%} {alarms.estimate:.3f} [{alarms.low:.3f}, {alarms.high:.3f}]"
        )
        print(f"  with the threshold from validation it finds {sensitivity:.3f}")
        scores[name] = score["test"]
    paired = metrics.delong_test(positive["test"], scores["logistic"], scores["bayes"])
    print(f"AUC {paired.auc_a:.4f} and {paired.auc_b:.4f}, DeLong's p = {paired.p_value:.3g}")
