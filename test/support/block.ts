const never = new Int32Array(new SharedArrayBuffer(4));

/** Blocks the event loop for so many ms, as a handler that computes does; costs no processor time. */
export function block(ms: number): void {
  Atomics.wait(never, 0, 0, ms);
}
