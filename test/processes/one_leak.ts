/** A test that leaves a timer: what the sanitizers have to see. */
Deno.test("a timer that is left", () => {
  setTimeout(() => {}, 1_000);
});
