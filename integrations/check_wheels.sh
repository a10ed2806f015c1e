#!/usr/bin/env bash
# Builds the wheels of clamr-rag and of every integration, installs them into a clean environment and runs the
# integrations' tests outside of the source tree, on each of the LlamaIndex versions that are promised.
#
#   integrations/check_wheels.sh [NAME ...]     only these folders of integrations/; all if none is named
#
# PYTHON (python3), TORCH_INDEX (pip's own) and CORE_VERSIONS can be set. Only the package registry is used.
set -euo pipefail

root="$(cd "$(dirname "$0")/.." && pwd)"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
export PIP_DISABLE_PIP_VERSION_CHECK=1 HF_HUB_OFFLINE=1 OMP_NUM_THREADS="${OMP_NUM_THREADS:-2}"
unset PYTHONPATH OPENAI_API_KEY
core_versions="${CORE_VERSIONS:-0.14.23 0.14.25}"
if [ $# -gt 0 ]; then names=("$@"); else
  mapfile -t names < <(cd "$root/integrations" && ls -d -- */pyproject.toml | xargs -n1 dirname)
fi

say() { printf '\n=== %s\n' "$*"; }

say "environment"
"${PYTHON:-python3}" -m venv "$work/venv"
py="$work/venv/bin/python"
# The floor of LlamaIndex is tested too, so it alone is not pinned.
grep -v '^llama-index-core==' "$root/constraints.txt" > "$work/constraints.txt"
install() { "$py" -m pip install --quiet --constraint "$work/constraints.txt" "$@"; }
install ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} torch

say "wheels"
# Built from copies: a build in the tree would meet another one that runs at the same time.
mkdir "$work/sources" "$work/wheels" "$work/outside"
copy() { (cd "$1" && tar -c --exclude=.git --exclude=.venv --exclude='*_cache' --exclude=__pycache__ \
  --exclude=integrations .) | (mkdir -p "$2" && tar -x -C "$2"); }
copy "$root" "$work/sources/clamr-rag"
for name in "${names[@]}"; do copy "$root/integrations/$name" "$work/sources/$name"; done
for source in "$work"/sources/*; do
  "$py" -m pip wheel --quiet --no-deps --wheel-dir "$work/wheels" "$source"
done
"$py" - "$work"/wheels/*.whl <<'PY'
import sys, zipfile
from pathlib import Path

ROOTS = {
    "clamr_rag": "clamr_rag/",
    "langchain_clamr": "langchain_clamr/",
    "llama_index_retrievers_clamr": "llama_index/retrievers/clamr/",
}
for wheel in map(Path, sys.argv[1:]):
    root = ROOTS[wheel.name.split("-")[0]]
    names = zipfile.ZipFile(wheel).namelist()
    strange = [n for n in names if not n.startswith(root) and ".dist-info/" not in n]
    assert not strange, f"{wheel.name} holds {strange}"
    assert f"{root}py.typed" in names, f"{wheel.name} has no {root}py.typed"
    assert any(n.endswith("/LICENSE") for n in names), f"{wheel.name} has no licence"
    print(wheel.name, len(names), "files, all of them in", root)
PY

say "install"
wanted=()
for wheel in "$work"/wheels/*.whl; do
  case "$wheel" in */clamr_rag-*) wanted+=("$wheel") ;; *) wanted+=("$wheel[test]") ;; esac
done
install "${wanted[@]}"
for name in "${names[@]}"; do
  mkdir "$work/outside/$name"
  for each in tests pyproject.toml README.md examples; do
    if [ -e "$root/integrations/$name/$each" ]; then
      cp -r "$root/integrations/$name/$each" "$work/outside/$name/"
    fi
  done
done

run_tests() {
  (cd / && "$py" -m pytest -q --import-mode=importlib -p no:cacheprovider \
    -c "$work/outside/$1/pyproject.toml" --rootdir "$work/outside/$1" "$work/outside/$1/tests")
}
for name in "${names[@]}"; do
  case "$name" in
    llama-index-*)
      for version in $core_versions; do
        say "$name, llama-index-core $version"
        install "llama-index-core==$version"
        (cd / && "$py" -c "import llama_index.core, llama_index.retrievers.clamr")
        run_tests "$name"
      done ;;
    *)
      say "$name"
      run_tests "$name" ;;
  esac
done

say "editable"
for name in clamr-rag "${names[@]}"; do
  "$py" -m pip install --quiet --no-deps --editable "$work/sources/$name"
done
(cd / && "$py" -I - "$work/sources" <<'PY'
import importlib.metadata as metadata, importlib.util, sys
from pathlib import Path

MODULES = {"clamr-rag": "clamr_rag", "langchain-clamr": "langchain_clamr",
           "llama-index-retrievers-clamr": "llama_index.retrievers.clamr"}
for source in sorted(Path(sys.argv[1]).iterdir()):
    module = MODULES[source.name]
    __import__(module)
    assert Path(sys.modules[module].__file__).is_relative_to(source), module
    metadata.version(source.name)
if importlib.util.find_spec("llama_index"):
    import llama_index.core
print("editable installs import")
PY
)
say "all is well"
