"""`toolrl report`: the comparison tables of one or several sweeps."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from toolrl_cli.commands import completing
from toolrl_cli.commands.options import AsJson, Results, note, print_json, results_root
from toolrl_cli.commands.views.consoles import stdout_console
from toolrl_cli.commands.views.exit_status import FAILED

if TYPE_CHECKING:
    from toolrl_cli.report.computed import Report

FIGURE_FORMATS = ("png", "pdf", "svg")


def report(
    sweeps: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SWEEP",
            help="Names; default: all under the results root.",
            autocompletion=completing.sweeps,
            show_default=False,
        ),
    ] = None,
    tables: Annotated[
        list[str] | None,
        typer.Option(
            "--table",
            metavar="NAME",
            help="A YAML file, or a shipped table: T1, T2, T3, T5, T6, T7, T10, T11, T12, CR5, CR6, CR7, CR8, "
            "toolworld, bfcl, bfcl_native, bfcl_v4, bfcl_v4_native, api_bank or bamboogle; repeatable.",
            autocompletion=completing.tables,
        ),
    ] = None,
    form: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="FORMAT",
            help="terminal, markdown, latex, csv, json or html.",
            autocompletion=completing.one_of("terminal", "markdown", "latex", "csv", "json", "html"),
            show_default="terminal",
        ),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            "--against",
            metavar="SOURCE",
            help="Published numbers beside ours: paper, nyu, gdpo, toolrm, r2if or sbhokare.",
            autocompletion=completing.published,
        ),
    ] = None,
    published_only: Annotated[
        bool, typer.Option("--published-only", help="The printed tables alone; no results are read.")
    ] = False,
    claims: Annotated[
        bool,
        typer.Option("--claims", help="The paper's takeaways, tested on these results, instead of tables."),
    ] = False,
    claims_file: Annotated[
        Path | None,
        typer.Option("--claims-file", metavar="FILE", help="Your own claims instead of the paper's."),
    ] = None,
    pair: Annotated[
        tuple[str, str] | None,
        typer.Option(
            "--pair",
            metavar="A B",
            help="Two arms, tested over seeds and items, instead of tables; '*' for all others.",
            autocompletion=completing.arms,
        ),
    ] = None,
    together: Annotated[
        bool,
        typer.Option("--aggregate", help="Each row over all models and benchmarks, instead of tables."),
    ] = False,
    imports: Annotated[
        list[Path] | None,
        typer.Option(
            "--import",
            metavar="FILE",
            help="Runs from elsewhere: wandb:ENTITY/PROJECT, an export of W&B's, or a CSV of yours; repeatable.",
        ),
    ] = None,
    columns: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            metavar="FIELD=COLUMN",
            help="A field of the imports that holds a column's scores: quant_acc=toolworld/overall; repeatable.",
        ),
    ] = None,
    figures: Annotated[
        list[str] | None,
        typer.Option(
            "--figure",
            metavar="NAME",
            help="Draw only this figure of the paper to --output (fig2_scores, fig2_rewards, fig5, fig6, fig7, "
            "fig8, fig9, fig10 or fig11); repeatable.",
            autocompletion=completing.figures,
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", help="Write every format and every figure to this folder.")
    ] = None,
    results: Results = None,
    as_json: AsJson = False,
) -> None:
    """Show the comparison tables of sweeps.

    Mean over seeds, n, interval, and what is missing or failed.
    """
    from toolrl_cli.errors import SpecError
    from toolrl_cli.report.api import build_report
    from toolrl_cli.report.computed import check_format

    if as_json and form not in (None, "json"):
        check_format(form)
        raise SpecError(f"--json and --format {form} are two formats", "report", "leave one of the two out")
    form = "json" if as_json else form or "terminal"
    check_format(form)
    views = _views(claims or claims_file is not None, pair is not None, together)
    drawn = {"--figure": figures, **dict.fromkeys(views, True)}
    given = {"--table": tables, "--against": against}
    _check_options(views, given, drawn if published_only else {}, written=output is not None and not figures)
    if figures and output is None:
        raise SpecError("a figure needs a folder", "--figure", "add --output DIR")
    root = results_root(results)
    mapped = _mapped(columns or (), bool(imports))
    files = tuple(imports or ())
    built = build_report(root, sweeps or (), tables, against, published_only, files, mapped, claims_file)
    undrawn: list[str] = []
    if output is not None:
        written = (
            built.draw_figures(output, figures, FIGURE_FORMATS) if figures else built.write_report(output)
        )
        for path in written:
            note(f"wrote {path}")
        undrawn = [name for name in figures or () if name not in {path.stem for path in written}]
        for name in undrawn:
            note(f"{name} was not drawn: these results have fewer than two of its lines or bars")
    for fault in built.faults:
        note(f"warning: {fault}")
    if form == "latex" or (output is not None and not figures):
        _warn_of_lost(built)
    if pair is not None:
        _print_pair(built, form, *pair)
    elif together:
        _print_aggregates(built, form)
    elif claims or claims_file is not None:
        _print_claims(built, form)
    else:
        print_report(built, form)
    if undrawn:
        raise typer.Exit(FAILED)


def _views(claims: bool, pair: bool, together: bool) -> list[str]:
    """The options that show something else than tables."""
    asked = {"--claims": claims, "--pair": pair, "--aggregate": together}
    return [name for name, wanted in asked.items() if wanted]


def _check_options(
    views: Sequence[str], given: Mapping[str, object], unread: Mapping[str, object], written: bool
) -> None:
    """Refuse options of which one would be dropped.

    Args:
        views: what is asked for instead of tables.
        given: options that tables alone read, or tables and some views.
        unread: options that read results, where none are read.
        written: whether tables are written to a folder as well.
    """
    from toolrl_cli.errors import SpecError

    if len(views) > 1:
        raise SpecError(f"{' and '.join(views)} are two views", "report", "leave one of them out")
    for option in (name for name, value in unread.items() if value):
        raise SpecError(f"{option} reads results", "--published-only", "leave one of the two out")
    for option in (name for name, value in given.items() if value and views and not written):
        if option == "--against" or views == ["--claims"]:
            what = f"{option} is of tables, and {views[0]} shows none"
            raise SpecError(what, "report", "leave one of the two out, or write tables with --output")


def _warn_of_lost(built: Report) -> None:
    """LaTeX's standard fonts lack most scripts: say which characters a table loses."""
    from toolrl_cli.report.render.latex import lost_in

    lost = lost_in(built.tables)
    if lost:
        told = "their names in the table are unreadable; rename the arms, or give rows of a table of yours labels"
        note(f"warning: LaTeX prints ? in place of {' '.join(lost[:20])}: {told}")


def _mapped(columns: list[str] | tuple[str, ...], imports: bool) -> dict[str, str]:
    from toolrl_cli.errors import SpecError

    if columns and not imports:
        raise SpecError("there is nothing to map", "--map", "it names fields of the files of --import")
    pairs = {}
    for text in columns:
        field, sign, column = text.rpartition("=")
        if not sign or not field or not column:
            raise SpecError(
                f"{text!r} is no FIELD=COLUMN", "--map", "for example quant_acc=toolworld/overall"
            )
        if field in pairs:
            raise SpecError(f"{field!r} is mapped twice", "--map", "leave one of the two out")
        pairs[field] = column
    return pairs


def print_report(built: Report, form: str) -> None:
    """The report on stdout in one format."""
    if not built.tables:
        note("there is no table: nothing was evaluated that a shipped table reads; name one with --table")
    if form == "json":
        print_json(built.to_json())
    elif form == "terminal":
        built.show(stdout_console())
    else:
        sys.stdout.write(built.render(form))


def _print_claims(built: Report, form: str) -> None:
    from toolrl_cli.errors import SpecError
    from toolrl_cli.report.render import claims_text as render

    judged = built.claims()
    if form == "json":
        print_json(render.document(judged))
    elif form == "markdown":
        sys.stdout.write(render.render_markdown(judged))
    elif form == "terminal":
        render.show(judged, stdout_console())
    else:
        raise SpecError(f"claims have no format {form!r}", "--format", "terminal, markdown or json")


def _print_aggregates(built: Report, form: str) -> None:
    from toolrl_cli.errors import SpecError
    from toolrl_cli.report.render import aggregates_text as render

    if form == "html":
        raise SpecError("aggregates have no page", "--format", "terminal, markdown, latex, csv or json")
    found = built.aggregates()
    if not found:
        note("nothing can be aggregated: nowhere have two rows, scored alike, three seeds on every model")
    if form == "json":
        print_json(render.document(found))
    elif form == "terminal" and found:
        render.print_aggregates(found, stdout_console())
    elif found:
        sys.stdout.write(render.render(found, form))


def _print_pair(built: Report, form: str, a: str, b: str) -> None:
    from toolrl_cli.errors import SpecError
    from toolrl_cli.report.render import pairs_text as render

    if form == "html":
        raise SpecError("a pair has no page of its own", "--format", "the report's page has every pair")
    found = built.pairs(a, b)
    if form == "json":
        print_json(render.document(found))
    elif form == "terminal":
        render.print_pairs(found, stdout_console())
    else:
        sys.stdout.write(render.render(found, form))
