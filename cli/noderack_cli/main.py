"""The door of `nodes`: the table of commands, and how an error becomes one sentence and an exit code."""

from __future__ import annotations

import gc
import json
import signal
import sys
import traceback
from collections.abc import Sequence

import click

from noderack_cli.errors import Told, tell
from noderack_cli.lazy import LazyGroup, Row

HERE = "noderack_cli.commands"

# One line per command: section in the help, name, where the click command is, what it does.
COMMANDS: tuple[Row, ...] = (
    # Workflows
    Row("Workflows", "missing", f"{HERE}.workflows:missing", "Say what a workflow needs and the host lacks."),
    Row("Workflows", "install-missing", f"{HERE}.workflows:install_missing", "Bring all that it needs."),
    Row("Workflows", "demo", "noderack_cli.demo.command:demo", "Show the whole job on this machine."),
    Row("Workflows", "workflow show", f"{HERE}.workflow:show", "Show nodes, packs and models of a workflow."),
    Row(
        "Workflows",
        "workflow convert",
        f"{HERE}.workflow:convert",
        "Convert to the API or the editor's form.",
    ),
    Row("Workflows", "workflow diff", f"{HERE}.workflow:diff", "Show what differs between two workflows."),
    Row(
        "Workflows",
        "workflow check",
        f"{HERE}.workflow:check",
        "Say what is wrong with a workflow, and where.",
    ),
    Row("Workflows", "workflow draw", f"{HERE}.workflow:draw", "Draw a workflow as SVG or PNG."),
    Row("Workflows", "run", f"{HERE}.run:run", "Run a workflow file, once or as a batch."),
    # Packs
    Row("Packs", "search", f"{HERE}.look_up:search", "Search the registry."),
    Row("Packs", "show", f"{HERE}.look_up:show", "Show what the registry knows of a pack."),
    Row(
        "Packs", "install", f"{HERE}.install:install", "Install packs by name, wheel, folder or git address."
    ),
    Row("Packs", "uninstall", f"{HERE}.packs:uninstall", "Remove packs and what only they needed."),
    Row("Packs", "update", f"{HERE}.packs:update", "Bring packs to their newest versions."),
    Row("Packs", "pin", f"{HERE}.packs:pin", "Fix a pack at a version."),
    Row("Packs", "hold", f"{HERE}.packs:hold", "Leave a pack as it is."),
    Row("Packs", "free", f"{HERE}.packs:free", "Take back pin and hold."),
    Row("Packs", "disable", f"{HERE}.switches:disable", "Take a pack out of use."),
    Row("Packs", "enable", f"{HERE}.switches:enable", "Take a pack into use again."),
    Row("Packs", "audit", f"{HERE}.audit:audit", "Say what is revoked or vulnerable."),
    Row("Packs", "bisect", f"{HERE}.bisect:bisect", "Find the pack that broke a workflow."),
    Row("Packs", "why", f"{HERE}.packs:why", "Say why something is installed."),
    # Models
    Row("Models", "models get", f"{HERE}.models:get", "Bring models by name, hash or address."),
    Row("Models", "models search", f"{HERE}.models:search", "Search the registry for models."),
    Row("Models", "models info", f"{HERE}.models:info", "Show what the registry knows of a model."),
    Row("Models", "models list", f"{HERE}.models:list_models", "List the model files of the host."),
    Row(
        "Models", "models scan", f"{HERE}.model_care:scan_models", "Read new files and remember their hashes."
    ),
    Row("Models", "models verify", f"{HERE}.model_care:verify", "Read files again and compare their hashes."),
    Row("Models", "models import", f"{HERE}.model_care:import_models", "Take model files into the host."),
    Row("Models", "models link", f"{HERE}.model_care:link_model", "Give a model a second name."),
    Row("Models", "models dedupe", f"{HERE}.model_care:dedupe", "Store each content once."),
    Row("Models", "models login", f"{HERE}.logins:login", "Keep a host's token in the keyring."),
    Row("Models", "models logout", f"{HERE}.logins:logout", "Forget a host's token."),
    Row("Models", "models publish", f"{HERE}.models:publish", "Publish models in a registry."),
    Row("Models", "models rm", f"{HERE}.model_care:remove", "Remove model files."),
    # Host
    Row("Host", "serve", f"{HERE}.serve:serve", "Serve the host to editors and programs."),
    Row("Host", "top", f"{HERE}.top:top", "Watch what a running server does."),
    Row("Host", "memory", f"{HERE}.memory:memory", "Show which models are in memory, and why."),
    Row("Host", "node list", f"{HERE}.node:list_nodes", "List the node types of the host."),
    Row("Host", "node search", f"{HERE}.node:search_nodes", "Find node types by words."),
    Row("Host", "node show", f"{HERE}.node:show_node", "Show what a node type takes and gives."),
    Row("Host", "init", f"{HERE}.init:init", "Make a folder a host."),
    Row("Host", "adopt", f"{HERE}.adopt:adopt", "Take over an existing installation."),
    Row("Host", "snapshot import", f"{HERE}.adopt:snapshot_import", "Install what a snapshot lists."),
    Row("Host", "list", f"{HERE}.generations:list_packs", "List the packs of the host."),
    Row("Host", "generations", f"{HERE}.generations:generations", "List the generations of the host."),
    Row("Host", "diff", f"{HERE}.packs:diff", "Show what differs between two generations."),
    Row("Host", "doctor", f"{HERE}.doctor:doctor", "Name what is wrong with the host, and what mends it."),
    Row("Host", "lock", f"{HERE}.locks:lock", "Write nodes.lock: all of the host with its hashes."),
    Row("Host", "sync", f"{HERE}.locks:sync", "Make the host what a lock says."),
    Row("Host", "bundle create", f"{HERE}.locks:bundle_create", "Pack the host's needs for offline use."),
    Row("Host", "bundle apply", f"{HERE}.locks:bundle_apply", "Make the host what a bundle holds."),
    Row("Host", "rollback", f"{HERE}.generations:rollback", "Go back to an earlier generation."),
    Row("Host", "prune", f"{HERE}.generations:prune", "Remove old generations."),
    # Authors
    Row("Authors", "pack init", "noderack_cli.pack_init:init", "Begin a pack that passes check."),
    Row("Authors", "pack check", "noderack_cli.pack_check:check_command", "Find what would break or alarm."),
    Row("Authors", "pack test", "noderack_cli.pack_test:test", "Run a pack's nodes on generated inputs."),
    Row("Authors", "pack dev", "noderack_cli.pack_dev:dev", "Link a working copy into a host."),
    Row("Authors", "pack build", "noderack_cli.pack:build", "Make a wheel of a pack."),
    Row("Authors", "pack publish", "noderack_cli.pack:publish", "Upload a pack to a registry."),
    # Registry
    Row("Registry", "registry serve", "noderack_cli.registry:serve", "Run a registry."),
    Row("Registry", "registry site", f"{HERE}.site:site", "Write a registry's static site."),
    Row("Registry", "registry token", "noderack_cli.registry:token", "Make, list and revoke upload tokens."),
    Row("Registry", "registry import", "noderack_cli.registry:import_catalogue", "Take in a catalogue."),
    Row(
        "Registry",
        "registry learn",
        "noderack_cli.registry_learn:learn",
        "Learn from workflows whose node types are whose.",
    ),
    Row(
        "Registry",
        "registry index",
        "noderack_cli.registry_care:index",
        "Build and publish a repository's tags.",
    ),
    Row(
        "Registry",
        "registry check",
        "noderack_cli.registry_care:check",
        "Prove that database and files agree.",
    ),
    Row(
        "Registry",
        "registry examine",
        "noderack_cli.registry_look:examine",
        "Read published wheels again.",
    ),
    Row(
        "Registry",
        "registry verify",
        "noderack_cli.registry_look:verify",
        "Import published versions in a jail.",
    ),
    Row("Registry", "registry backup", "noderack_cli.registry_care:backup", "Copy a registry while it runs."),
    Row(
        "Registry", "registry restore", "noderack_cli.registry_care:restore", "Make a registry from a backup."
    ),
    Row("Registry", "registry mirror", "noderack_cli.registry_care:mirror", "Follow another registry."),
    Row(
        "Registry", "registry export", "noderack_cli.registry_care:export", "Write the public data as files."
    ),
    Row(
        "Registry",
        "registry admin",
        "noderack_cli.registry_people:admin",
        "Yank, quarantine, transfer, revoke.",
    ),
)

GROUPS: dict[str, str] = {
    "snapshot": "Snapshots of the existing manager.",
    "bundle": "Carry a host to where no network is.",
    "pack": "Make, check and publish packs.",
    "models": "Find, download, check and tidy model files.",
    "registry": "Run and look after a registry.",
    "workflow": "Look at workflows and convert them.",
    "node": "Look at node types.",
}


@click.group(
    cls=LazyGroup,
    rows=COMMANDS,
    groups=GROUPS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Every command has --help with examples. NODERACK_HOST and NODERACK_REGISTRY stand for --host and "
    "--registry.",
)
@click.version_option(package_name="noderack", message="%(package)s %(version)s")
@click.option("--debug", is_flag=True, help="Show the traceback of an error. May stand anywhere.")
def cli(debug: bool) -> None:
    """Install what a workflow needs, safely, and run it."""


def main() -> None:
    """Run `nodes` with the arguments of this process; a request to end is taken as a Ctrl-C is."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    gc.set_threshold(20_000, 20, 20)  # what a command makes at its start stays: it is no garbage
    sys.exit(run(sys.argv[1:]))


def run(args: Sequence[str]) -> int:
    """Run `nodes ARGS` and return its exit code; every error is told here and nowhere else."""
    debug = "--debug" in args
    try:
        answer = cli.main([a for a in args if a != "--debug"], prog_name="nodes", standalone_mode=False)
    except BrokenPipeError:  # the reader of a pipe left: nothing to tell, nobody to tell it
        return 0
    except BaseException as error:  # the border: whatever it is becomes one sentence
        if isinstance(error.__context__, BrokenPipeError):  # as click passes it on
            return 0
        if debug:
            traceback.print_exc()
        told = tell(error)
        show(told, as_json="--json" in args)
        return int(told.exit)
    return answer if isinstance(answer, int) else 0


def show(told: Told, *, as_json: bool) -> None:
    """Print an error: JSON on the last line of stdout, or a sentence and a hint on stderr."""
    if as_json:
        click.echo(json.dumps(told.as_dict()))
        return
    click.echo(f"nodes: {told.message}", err=True)
    if told.hint:
        click.echo(f"  {told.hint}", err=True)
