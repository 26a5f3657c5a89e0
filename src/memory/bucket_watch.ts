/** A watch of a bucket in memory, over a connection that may be cut and restored. */
import type { Change } from "../ports/key_value_store.ts";
import type { BucketState } from "./bucket_state.ts";
import type { StoreSession } from "./store_session.ts";

/** What to watch, and until when. */
export interface WatchRequest {
  readonly prefix: string;
  readonly onChange: (change: Change) => void;
  readonly signal: AbortSignal;
}

/** Implements `Bucket.watch`. Rejects with the reason of the signal if that aborts before all current entries were reported. */
export async function watchBucket(state: BucketState, session: StoreSession, request: WatchRequest): Promise<void> {
  const { prefix, onChange, signal } = request;
  signal.throwIfAborted();
  /** The last change of each key while the connection was cut. */
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
