/** How a client follows a bucket in memory, over a link that may be cut and mended. */
import type { Change } from "../ports/key_value_store.ts";
import type { BucketState } from "./bucket_state.ts";
import type { StoreSession } from "./store_session.ts";

/** What to follow, and until when. */
export interface WatchRequest {
  readonly prefix: string;
  readonly onChange: (change: Change) => void;
  readonly signal: AbortSignal;
}

/** Does what `Bucket.watch` promises. Rejects with the signal's reason when that aborts before the current entries came. */
export async function watchState(state: BucketState, session: StoreSession, request: WatchRequest): Promise<void> {
  const { prefix, onChange, signal } = request;
  signal.throwIfAborted();
  /** What happened while the link was cut: of each key the last. */
  const missed = new Map<string, Change>();
  const undo: (() => void)[] = [];

  function arrive(change: Change): void {
    if (signal.aborted) return;
    missed.delete(change.key);
    if (session.connected) onChange(change);
    else missed.set(change.key, change);
  }
  function end(): void {
    for (const step of undo.splice(0)) step();
  }

  signal.addEventListener("abort", end, { once: true });
  undo.push(() => signal.removeEventListener("abort", end));
  undo.push(session.onStatus(({ state }) => {
    if (state === "closed") end();
    if (state === "connected") session.soon(() => [...missed.values()].forEach(arrive));
  }));
  try {
    const current = await session.call(() => {
      undo.push(state.observe((change) => {
        if (change.key.startsWith(prefix)) session.soon(() => arrive(change));
      }));
      return state.entries(prefix);
    });
    for (const entry of current) {
      signal.throwIfAborted();
      onChange({ type: "put", ...entry });
    }
    signal.throwIfAborted();
  } catch (error) {
    end();
    throw error;
  }
}
