/** Captures the lines that `work` writes to `console.error`; they are not printed. */
export async function consoleErrors(work: () => Promise<void>): Promise<unknown[][]> {
  const told: unknown[][] = [];
  const { error } = console;
  console.error = (...line: unknown[]) => void told.push(line);
  try {
    await work();
  } finally {
    console.error = error;
  }
  return told;
}
