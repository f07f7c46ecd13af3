"""Two examples for the end of each help page; every one of them is parsed in a test, and works on what is shipped."""

from __future__ import annotations

EXAMPLES: dict[str, tuple[str, str]] = {
    "": ("toolrl sweep quickstart", "toolrl init my-ablation"),
    "reward": ("toolrl reward list", "toolrl reward explain completion.txt gold.txt"),
    "data": ("toolrl data list", "toolrl data prepare toolworld"),
    "init": ("toolrl init", "toolrl init my-ablation"),
    "sweep": ("toolrl sweep quickstart", "toolrl sweep table6_scale --profile cpu --set seeds='[1, 2, 3]'"),
    "plan": ("toolrl plan quickstart --explain", "toolrl plan table6_scale --budget-gpu-hours 500"),
    "list": ("toolrl list", "toolrl list quickstart --json"),
    "status": ("toolrl status quickstart --watch", "toolrl status --json"),
    "resume": (
        "toolrl resume quickstart --failed",
        "toolrl resume quickstart --only 'grpo-*' --from-step 10",
    ),
    "stop": ("toolrl stop quickstart", "toolrl stop quickstart --grace 300"),
    "logs": (
        "toolrl logs grpo-coarse-seed1 -n 20",
        "toolrl logs quickstart/ppo-original-seed1 --stage rl --follow",
    ),
    "show": ("toolrl show grpo-coarse-seed1", "toolrl show quickstart/raw-seed1 --json"),
    "diff": (
        "toolrl diff grpo-original-seed1 grpo-coarse-seed1",
        "toolrl diff quickstart/raw-seed1 quickstart/sft-seed1 --json",
    ),
    "report": (
        "toolrl report quickstart --output out/",
        "toolrl report quickstart --pair grpo-original grpo-coarse",
    ),
    "rescore": (
        "toolrl rescore grpo-original-seed1 --output out/",
        "toolrl rescore mine.jsonl --field completion=text --reward finegrained",
    ),
    "reward explain": (
        "toolrl reward explain completion.txt gold.txt --reward original --reward coarse",
        "toolrl reward explain --data rows.parquet --row 3",
    ),
    "reward list": ("toolrl reward list --field", "toolrl reward list --fidelity paper --json"),
    "reward compare": (
        "toolrl reward compare original coarse tool_n1@toolrl",
        "toolrl reward compare original coarse --data rows.parquet --rows 20",
    ),
    "data prepare": (
        "toolrl data prepare rlla --reward finegrained",
        "toolrl data prepare toolworld --rows train=500",
    ),
    "data convert": (
        "toolrl data convert xlam xlam_function_calling_60k.json -o rows",
        "toolrl data convert xlam mine.jsonl -o rows --field query=question",
    ),
    "data list": ("toolrl data list", "toolrl data list --tokenizer ./my-model"),
    "evaluate": (
        "toolrl evaluate ./my-model --benchmark toolworld --limit 20",
        "toolrl evaluate https://api.example.com/v1 --model-name some-model --key-env KEY --benchmark api_bank",
    ),
    "serve": ("toolrl serve ./my-model --port 8000", "toolrl serve ./my-model --precision bf16 --rows 64"),
    "sync": ("toolrl sync quickstart", "toolrl sync quickstart --wandb online"),
    "gc": ("toolrl gc --dry-run", "toolrl gc --checkpoints --keep best"),
    "doctor": ("toolrl doctor --train", "toolrl doctor --launcher slurm table6_scale"),
    "schema": ("toolrl schema", "toolrl schema > toolrl.schema.json"),
}
"""Command, or group of commands (`""` is the root) → its examples."""


def epilog(command: str) -> str:
    """The end of a command's help page; click breaks no line after `\\b`."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in EXAMPLES[command])
