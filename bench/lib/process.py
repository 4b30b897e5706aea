"""Processes, and what the kernel counts about them."""

import os
import signal
import subprocess
import time

TICK = os.sysconf('SC_CLK_TCK')


class Process:
    """A child that is stopped, by its id, at the latest with the block."""

    def __init__(self, command, log, stdout=None, stop=signal.SIGTERM):
        self.command = command
        self.signal = stop
        self.log = open(log, 'ab')
        self.child = subprocess.Popen(
            command, stdin=subprocess.PIPE,
            stdout=stdout or self.log, stderr=self.log)
        self.pid = self.child.pid

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.stop()

    def stop(self):
        if self.child.poll() is None:
            self.child.send_signal(self.signal)

            try:
                self.child.wait(20)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()

        self.child.stdin.close()
        if self.child.stdout:
            self.child.stdout.close()
        self.log.close()

    def ended(self):
        return self.child.poll() is not None


def wait_for(condition, seconds, what):
    end = time.monotonic() + seconds

    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > end:
            raise RuntimeError('timed out after %gs: %s' % (seconds, what))
        time.sleep(0.01)


def stat(pid):
    """The fields of /proc/PID/stat from the third on."""
    with open('/proc/%d/stat' % pid) as f:
        return f.read().rsplit(')', 1)[1].split()


def cpu_seconds(pids):
    """utime + stime of all threads of these processes."""
    ticks = 0

    for pid in pids:
        fields = stat(pid)
        ticks += int(fields[11]) + int(fields[12])

    return ticks / TICK


def memory(pids):
    """Bytes of { Pss, Private } that these processes have together."""
    sums = {'Pss': 0, 'Private': 0}

    for pid in pids:
        with open('/proc/%d/smaps_rollup' % pid) as f:
            for line in f:
                name, _, rest = line.partition(':')

                if name == 'Pss':
                    sums['Pss'] += int(rest.split()[0]) * 1024
                elif name.startswith('Private_') and 'Huge' not in name:
                    sums['Private'] += int(rest.split()[0]) * 1024

    return sums


def children(parent):
    """The processes that have this parent: { pid: title }."""
    found = {}

    for name in os.listdir('/proc'):
        if not name.isdigit():
            continue

        try:
            if int(stat(int(name))[1]) != parent:
                continue
            with open('/proc/%s/cmdline' % name, 'rb') as f:
                found[int(name)] = f.read().decode('latin-1').rstrip('\0 ')
        except (FileNotFoundError, ProcessLookupError):
            pass

    return found
