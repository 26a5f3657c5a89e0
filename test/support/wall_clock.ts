/**
 * Begins to watch the wall clock. Returns how far it has been set back since then, in ms: a machine that corrects its
 * clock lets a message seem to come too early.
 */
export function watchWallClock(): () => number {
  const offset = () => Date.now() - performance.now();
  const began = offset();
  return () => Math.max(0, began - offset());
}
