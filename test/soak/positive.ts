/** A number of the command line. Throws unless it is above 0. */
export function positive(text: string): number {
  const value = Number(text);
  if (value > 0) return value;
  throw new Error(`a number above 0 is wanted; got ${text}`);
}
