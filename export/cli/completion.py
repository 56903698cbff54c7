"""Scripts with which shells complete the words of the command."""

from keras_inception_export.cli.help import PAGES
from keras_inception_export.cli.parser import WORDS, make_parser
from keras_inception_export.errors import check_choice, missing


def script(shell: str) -> str:
    """Return the script for a shell."""
    check_choice("shell", shell, WORDS["SHELL"])
    try:
        import shtab
    except ImportError as error:
        raise missing("completion", "shtab", error) from None
    parser = make_parser()
    parser.commands.help = None  # shtab skips what has no help text
    for name, command in parser.commands.choices.items():
        command.description = PAGES[name].summary
        for action in command._actions:
            if words := getattr(action, "words", ()):
                action.choices = list(words)
            elif getattr(action, "folder", False):
                action.complete = shtab.DIRECTORY
            elif getattr(action, "file", False):
                action.complete = shtab.FILE
    return shtab.complete(parser, shell)
