"""The TransferQueue, played by a dictionary."""

from __future__ import annotations

from typing import Any

from tensordict import TensorDict
from tensordict.tensorclass import NonTensorStack

STEP = {"status": "success", "seq_len": 9}


class Queue:
    """What the replay buffer asks of the TransferQueue."""

    def __init__(self) -> None:
        self.partitions: dict[str, dict[str, dict[str, Any]]] = {}
        self.rewards: dict[str, dict[str, float]] = {}
        self.polls = 0
        self.later: list[tuple[str, str]] = []

    def prompt(
        self, uid: str, status: str, rewards: list[float], partition: str = "train", step: int = 1
    ) -> None:
        tags = self.partitions.setdefault(partition, {})
        tags[uid] = {"is_prompt": True, "status": status, "global_steps": step}
        for session, total in enumerate(rewards):
            self.sample(uid, session, total, partition)

    def sample(self, uid: str, session: int, total: float, partition: str = "train") -> None:
        key = f"{uid}_{session}_0"
        self.partitions[partition][key] = {**STEP, "of": key}
        self.rewards[key] = {"total": total, "format/raw": total / 2}

    def kv_list(self) -> dict[str, dict[str, dict[str, Any]]]:
        self.polls += 1
        if self.later and self.polls > 2:
            uid, status = self.later.pop()
            self.partitions["train"][uid]["status"] = status
        return self.partitions

    def kv_clear(self, partition_id: str, keys: list[str]) -> None:
        for key in keys:
            del self.partitions[partition_id][key]

    def kv_batch_get(self, keys: list[str], partition_id: str, select_fields: list[str]) -> TensorDict:
        assert select_fields == ["extra_fields"]
        fields = [{"reward_extra_info": self.rewards[key]} for key in keys]
        return TensorDict({"extra_fields": NonTensorStack(*fields)}, batch_size=len(keys))
