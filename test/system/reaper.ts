import { spawn } from "node:child_process";

/** Waits for the end of its standard input; arguments: prefix of the namespaces' names, folder. */
const SCRIPT = `
cat >/dev/null
for path in /run/netns/"$1"*; do
  [ -e "$path" ] || continue
  ip netns pids "\${path##*/}" | xargs -r kill -KILL
  ip netns delete "\${path##*/}"
done
rm -rf "$2"
`;

/**
 * Clears away what a test that was killed leaves behind: namespaces whose names begin with the prefix, what runs in them, and the
 * folder. It notices because the kernel closes the pipe between them. (Daemons end with the test by themselves.)
 */
export function startReaper(prefix: string, directory: string): void {
  const stdio = ["pipe", "ignore", "ignore"] as const;
  const reaper = spawn("sh", ["-c", SCRIPT, "reaper", prefix, directory], { detached: true, stdio: [...stdio] });
  reaper.unref();
  const pipe = reaper.stdin as typeof reaper.stdin & { unref?: () => void };
  pipe.unref?.();
}
