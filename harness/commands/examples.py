"""Examples that the help of each command ends with."""

EXAMPLES = {
    "run": (
        "hear-byola run -m hear_byola -m logmel --suite demo --protocol linear",
        "hear-byola run -m transformers=./my_hubert,layer=all -m ./my_module.py=w.pt,d=512 \\\n"
        "      --tasks-dir tasks -t esc50 -t dcase2016_task2 --seeds 3",
    ),
    "embed": (
        "hear-byola embed -m hear_byola --suite demo",
        "hear-byola embed -m hear_byola -t path/to/task-v1-full --layout heareval",
    ),
    "probe": (
        "hear-byola embed -m hear_byola -t demo_pipe_pitch && \\\n"
        "      hear-byola probe -m hear_byola -t demo_pipe_pitch --protocol knn",
        "hear-byola probe embeddings/my_module/esc50-v2.0.0-full --protocol hear2021",
    ),
    "submit": (
        "hear-byola submit --slurm run.yaml --partition gpu --gpus 1 --time 08:00:00 --dry-run",
        "hear-byola submit --slurm run.yaml --array-max 16 --cpus 8 --mem 16G --sbatch qos=low",
    ),
    "status": (
        "hear-byola status runs",
        "hear-byola status runs/hear --json",
    ),
    "pretrain": (
        "hear-byola pretrain my_recordings --config byola-512-small",
        "hear-byola pretrain corpus.csv --config byola-512 --set batch_size=512 --devices 4 \\\n"
        "      --probe-task demo_sample_mix --out runs/pretrain/large",
    ),
    "ablate": (
        "hear-byola ablate results/studies/table2.yaml --out runs/table2",
        "hear-byola ablate my_study.yaml --audio my_recordings --device cuda",
    ),
    "validate": (
        "hear-byola validate transformers=facebook/wav2vec2-base",
        "hear-byola validate ./my_module.py -m weights.pt -o d=512",
    ),
    "checkpoint show": (
        "hear-byola checkpoint show my.safetensors",
        "hear-byola checkpoint show AudioNTT2020-BYOLA-64x96d512.pth --json",
    ),
    "checkpoint convert": (
        "hear-byola checkpoint convert AudioNTT2020-BYOLA-64x96d512.pth my.safetensors",
        "hear-byola checkpoint convert weights.pth my.safetensors --convention htk \\\n"
        "      --mean -5.4919195 --std 5.0389895 --licence Apache-2.0 --data FSD50K",
    ),
    "tasks list": (
        "hear-byola tasks list",
        "hear-byola tasks list --suite hear2021 --tasks-dir tasks",
    ),
    "tasks show": (
        "hear-byola tasks show demo_guitar_chord",
        "hear-byola tasks show fsd50k",
    ),
    "tasks fetch": (
        "hear-byola tasks fetch esc50 dcase2016_task2 --tasks-dir tasks",
        "hear-byola tasks fetch --suite hear2021 --mirror /data/hear-archives --jobs 4",
    ),
    "tasks prepare": (
        "hear-byola tasks prepare esc50 --source path/to/ESC-50-master",
        "hear-byola tasks prepare speech_commands_5h --source downloads --sample-rate 16000 \\\n"
        "      --sample-rate 48000 --jobs 8",
    ),
    "tasks make": (
        "hear-byola tasks make labels.csv my_recordings --name mine --seconds 2",
        "hear-byola tasks make --synthetic notes --clips 60 --classes 12",
    ),
    "tasks check": (
        "hear-byola tasks check path/to/task-v1-full",
        "hear-byola tasks check tasks/*-v1-full --pairs copies.csv \\\n"
        "      --against runs/pretrain/mine/corpus.json",
    ),
    "results table": (
        "hear-byola results table runs",
        "hear-byola results table runs/results.csv --format latex --baseline my_first_model",
    ),
    "results board": (
        "hear-byola results board runs",
        "hear-byola results board runs/results.csv --show pairs --format csv",
    ),
    "results compare": (
        "hear-byola results compare hear_byola logmel",
        "hear-byola results compare mine theirs logmel runs/a runs/b --protocol linear \\\n"
        "      --all-pairs --format latex",
    ),
    "results power": (
        "hear-byola results power runs",
        "hear-byola results power runs -m hear_byola -m logmel --protocol linear --difference 0.02",
    ),
    "results merge": (
        "hear-byola results merge runs/node1 runs/node2 -o runs/all.csv",
        "hear-byola results merge results/demo.csv runs/demo -o runs/all.csv",
    ),
    "results export": (
        "hear-byola results export runs --format jsonl -o results.jsonl",
        "hear-byola results export runs --format model-index -m hear_byola --name me/my-byola",
    ),
    "results report": (
        "hear-byola results report runs -o report.html",
        "hear-byola results report runs/a runs/b --model mine --title 'Mine on HEAR' --audio-mb 20",
    ),
    "results figures": (
        "hear-byola results figures runs -o figures",
        "hear-byola results figures runs --task esc50 --protocol linear --width text --format pdf",
    ),
}
