"""What both Python programs share: arguments, lines told, and when to leave."""

import sys
import threading


def tell(*words):
    """Tells one line, in one piece and at once."""
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def leaving():
    """Returns an event that is set when standard input ends."""
    event = threading.Event()

    def read():
        sys.stdin.read()
        event.set()

    threading.Thread(target=read, daemon=True).start()
    return event


def main(verbs):
    """Runs the verb that the arguments name with the address and what follows."""
    address, verb, *rest = sys.argv[1:]
    verbs[verb](address, *rest)
