/** Begins what has been made, and gives it; ends it when that fails. */
export async function begun<T extends AsyncDisposable>(made: T, begin: () => Promise<void>): Promise<T> {
  try {
    await begin();
    return made;
  } catch (error) {
    await made[Symbol.asyncDispose]();
    throw error;
  }
}
