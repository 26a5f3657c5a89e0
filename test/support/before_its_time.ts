/** Tests that have to do something before a moment, on a machine that may be busy. */

/**
 * Plays a test whose first part ends before a moment in `lead` ms; `play` returns false if the moment came first, as on
 * a busy machine. Then it is played anew, with more time.
 */
export async function beforeItsTime(lead: number, play: (lead: number) => Promise<boolean>): Promise<void> {
  while (!await play(lead)) lead *= 3;
}
