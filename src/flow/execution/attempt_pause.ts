/**
 * The pause after a failed attempt of a workflow's handler, or of an `undo`. The pauses of steps are in
 * `attempted_step.ts`.
 */
import type { DriveState, PendingCall } from "./drive_state.ts";

/**
 * Returns false if the next attempt of the handler or `undo` with this name may begin now. Otherwise returns true, and
 * calls `next` as soon as the attempt may begin: after a timer of this node, after the schedule that is stored for a
 * long pause, or after an operator has retried a stuck attempt. During the latter two waits the execution of the run
 * can be suspended ({@link DriveEnd}).
 */
export function pausesBefore(state: DriveState, name: string, next: () => void): boolean {
  const { times, calls } = state;
  const call: PendingCall = {
    go: () => {
      if (!isOver()) return;
      calls.delete(call);
      next();
    },
  };
  const isOver = () => times.pause(name, () => calls.has(call) && call.go()) === "over";
  if (isOver()) return false;
  state.call(call);
  return true;
}
