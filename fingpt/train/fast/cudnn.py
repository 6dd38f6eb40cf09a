"""cuDNN's attention for Hopper and newer cards, through nvidia-cudnn-frontend: documents of different lengths.

A graph serves packs with as many documents whose longest is as long when rounded up; building one takes a second. The
backward is the deterministic one, which is as fast as the other. PyTorch's own way to cuDNN has no grouped heads for
documents of different lengths (torch 2.13).
"""

from __future__ import annotations

import atexit
from types import SimpleNamespace
from typing import Any

import torch

from fingpt.train.fast.documents import Spans

# Sizes that graphs are made for are rounded up, so that a run needs few.
_DOCUMENTS, _LONGEST, _TOTAL = 8, 1024, 8192
_SMALLEST_WORKSPACE = 16
_FREE = 64  # columns behind each row of the output, for adapters up to that rank


class CudnnAttention:
    """`Attention` by cuDNN; ImportError without the frontend, RuntimeError where cuDNN cannot."""

    def __init__(self, scale: float) -> None:
        import cudnn

        self._cudnn: Any = cudnn
        self._scale = scale
        self._handle = cudnn.create_handle()
        stream = torch.cuda.current_stream().cuda_stream
        cudnn.set_stream(handle=self._handle, stream=stream)
        self._graphs: dict[tuple[Any, ...], Any] = {}
        # What outlives the interpreter, the frontend reports as leaked.
        atexit.register(self._graphs.clear)
        # Of the last two: those of all layers, and those of the last.
        self._offsets_of: list[tuple[Spans, tuple[int, int, int], dict[str, torch.Tensor]]] = []

    def forward(
        self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, spans: Spans
    ) -> tuple[torch.Tensor, Any]:
        """As Attention."""
        rows, heads, width = q.shape
        out = q.new_empty(rows, heads * width + _FREE)[:, :-_FREE].view(rows, heads, width)
        graph, offsets = self._graph(False, q, k, out, spans), self._offsets(q, k, out, spans)
        sums = q.new_empty(q.shape[:2], dtype=torch.float32)
        self._execute(graph, {"q": q, "k": k, "v": v, "o": out, "stats": sums}, offsets)
        return out, sums

    def backward(
        self, gradient: torch.Tensor, made: tuple[torch.Tensor, ...], kept: Any, spans: Spans
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """As Attention."""
        q, k, v, out = made
        graph, offsets = self._graph(True, q, k, out, spans), self._offsets(q, k, out, spans)
        dq, dk, dv = (part.new_empty(part.shape) for part in (q, k, v))
        tensors = {"q": q, "k": k, "v": v, "o": out, "do": gradient.contiguous(), "stats": kept}
        self._execute(graph, {**tensors, "dq": dq, "dk": dk, "dv": dv}, offsets)
        return dq, dk, dv

    def _execute(
        self, graph: Any, tensors: dict[str, torch.Tensor], offsets: dict[str, torch.Tensor]
    ) -> None:
        given = {**tensors, **offsets}
        pointers = {place: given[name].data_ptr() for name, place in graph.places.items()}
        space = torch.empty(graph.workspace, dtype=torch.uint8, device=tensors["q"].device)
        graph.execute(pointers, space.data_ptr(), handle=self._handle)

    def _offsets(
        self, q: torch.Tensor, k: torch.Tensor, out: torch.Tensor, spans: Spans
    ) -> dict[str, torch.Tensor]:
        """Where each document begins in each tensor, counted in elements, and the documents' lengths."""
        rows = (q.stride(0), k.stride(0), out.stride(0))
        for known, strides, offsets in self._offsets_of:
            if known is spans and strides == rows:
                return offsets
        heads, width, fewer = q.shape[1], q.shape[2], k.shape[1]
        queries, keys = (_filled(each) for each in (spans.queries, spans.keys))
        made = {
            "at_q": queries * rows[0],
            "at_k": keys * rows[1],
            "at_o": queries * rows[2],
            "at_dq": queries * (heads * width),
            "at_stats": queries * heads,
            "at_dk": keys * (fewer * width),
            "many_q": queries.diff(),
            "many_k": keys.diff(),
        }
        self._offsets_of = [*self._offsets_of[-1:], (spans, rows, made)]
        return made

    def _graph(
        self, backward: bool, q: torch.Tensor, k: torch.Tensor, out: torch.Tensor, spans: Spans
    ) -> Any:
        shape = SimpleNamespace(
            documents=_up(spans.queries.numel() - 1, _DOCUMENTS),
            most_q=_up(spans.most_queries, _LONGEST),
            most_k=_up(spans.most_keys, _LONGEST),
            total_q=_up(q.shape[0], _TOTAL),
            total_k=_up(k.shape[0], _TOTAL),
            heads=q.shape[1],
            fewer=k.shape[1],
            width=q.shape[2],
            row_q=q.stride(0),
            row_k=k.stride(0),
            row_o=out.stride(0),
            trimmed=spans.trimmed,
        )
        key = (backward, *vars(shape).values())
        if key not in self._graphs:
            self._graphs[key] = self._build(backward, shape)
        return self._graphs[key]

    def _build(self, backward: bool, s: Any) -> Any:
        cudnn = self._cudnn
        graph = cudnn.pygraph(
            io_data_type=cudnn.data_type.BFLOAT16,
            intermediate_data_type=cudnn.data_type.FLOAT,
            compute_data_type=cudnn.data_type.FLOAT,
            handle=self._handle,
        )
        places = _Places(cudnn, graph, s)
        many_q, many_k = places.lengths("many_q"), places.lengths("many_k")
        align = cudnn.diagonal_alignment
        options = {
            "attn_scale": self._scale,
            "use_padding_mask": True,
            "seq_len_q": many_q,
            "seq_len_kv": many_k,
            "diagonal_band_right_bound": 0,
            "diagonal_alignment": align.BOTTOM_RIGHT if s.trimmed else align.TOP_LEFT,
        }
        q = places.rows("q", s.heads, s.most_q, s.row_q, "at_q")
        k = places.rows("k", s.fewer, s.most_k, s.row_k, "at_k")
        v = places.rows("v", s.fewer, s.most_k, s.row_k, "at_k")
        flat_q, flat_k = s.heads * s.width, s.fewer * s.width
        if backward:
            o = places.rows("o", s.heads, s.most_q, s.row_o, "at_o")
            do = places.rows("do", s.heads, s.most_q, flat_q, "at_dq")
            found = graph.sdpa_backward(
                q=q, k=k, v=v, o=o, dO=do, stats=places.sums("stats"),
                max_total_seq_len_q=s.total_q, max_total_seq_len_kv=s.total_k,
                use_deterministic_algorithm=True, **options,
            )  # fmt: skip
            dq, dk, dv = found
            places.result("dq", dq, s.heads, s.most_q, flat_q, "at_dq")
            places.result("dk", dk, s.fewer, s.most_k, flat_k, "at_dk")
            places.result("dv", dv, s.fewer, s.most_k, flat_k, "at_dk")
        else:
            out, sums = graph.sdpa(q=q, k=k, v=v, generate_stats=True, **options)
            places.result("o", out, s.heads, s.most_q, s.row_o, "at_o")
            places.result_sums("stats", sums)
        try:
            graph.validate()
            graph.build_operation_graph()
            graph.create_execution_plans([cudnn.heur_mode.A, cudnn.heur_mode.FALLBACK])
            graph.check_support()
            graph.build_plans()
        except cudnn.cudnnGraphNotSupportedError as fault:
            raise RuntimeError(str(fault)) from None
        return SimpleNamespace(
            execute=graph.execute,
            places=places.named,
            workspace=max(graph.get_workspace_size(), _SMALLEST_WORKSPACE),
        )


class _Places:
    """The tensors of one graph by name; rows of a document lie where its offset says."""

    def __init__(self, cudnn: Any, graph: Any, shape: Any) -> None:
        self.named: dict[str, Any] = {}
        self._types, self._graph, self._s = cudnn.data_type, graph, shape

    def _whole(self, name: str, size: int) -> Any:
        if name not in self.named:
            self.named[name] = self._graph.tensor(
                name=name, dim=[size, 1, 1, 1], stride=[1, 1, 1, 1], data_type=self._types.INT32
            )
        return self.named[name]

    def lengths(self, name: str) -> Any:
        return self._whole(name, self._s.documents)

    def _offset(self, name: str) -> Any:
        return self._whole(name, self._s.documents + 1)

    def _geometry(self, heads: int, most: int, row: int) -> tuple[list[int], list[int]]:
        width = self._s.width
        return [self._s.documents, heads, most, width], [most * row, width, row, 1]

    def rows(self, name: str, heads: int, most: int, row: int, offset: str) -> Any:
        dim, stride = self._geometry(heads, most, row)
        place = self._graph.tensor(
            name=name, dim=dim, stride=stride, data_type=self._types.BFLOAT16
        )
        place.set_ragged_offset(self._offset(offset))
        self.named[name] = place
        return place

    def result(self, name: str, place: Any, *geometry: Any) -> None:
        *sizes, offset = geometry
        dim, stride = self._geometry(*sizes)
        place.set_output(True).set_dim(dim).set_stride(stride)
        place.set_ragged_offset(self._offset(offset))
        self.named[name] = place

    def _sums(self) -> tuple[list[int], list[int]]:
        s = self._s
        return [s.documents, s.heads, s.most_q, 1], [s.heads * s.most_q, 1, s.heads, 1]

    def sums(self, name: str) -> Any:
        dim, stride = self._sums()
        place = self._graph.tensor(name=name, dim=dim, stride=stride, data_type=self._types.FLOAT)
        place.set_ragged_offset(self._offset("at_stats"))
        self.named[name] = place
        return place

    def result_sums(self, name: str, place: Any) -> None:
        dim, stride = self._sums()
        place.set_output(True).set_data_type(self._types.FLOAT).set_dim(dim).set_stride(stride)
        place.set_ragged_offset(self._offset("at_stats"))
        self.named[name] = place


def _filled(borders: torch.Tensor) -> torch.Tensor:
    """`borders` with empty documents behind, as many as the graph has more."""
    documents = borders.numel() - 1
    return torch.cat([borders, borders[-1:].expand(_up(documents, _DOCUMENTS) - documents)])


def _up(size: int, step: int) -> int:
    return -(-size // step) * step
