/** Runs `start` on a new resource and returns the resource; disposes of it when `start` rejects, and rejects too. */
export async function startOrDispose<T extends AsyncDisposable>(made: T, start: () => Promise<void>): Promise<T> {
  try {
    await start();
    return made;
  } catch (error) {
    await made[Symbol.asyncDispose]();
    throw error;
  }
}
