/// <reference lib="dom" />
/** Asks before something is changed. */
import { byId } from "./elements.ts";

/** Whether the user agrees. The default of the keyboard is not to. */
export function confirmed(question: string, yes: string): Promise<boolean> {
  const dialog = byId<HTMLDialogElement>("confirm");
  byId("confirm-question").textContent = question;
  const [no, doIt] = [byId<HTMLButtonElement>("confirm-no"), byId<HTMLButtonElement>("confirm-yes")];
  doIt.textContent = yes;
  return new Promise((resolve) => {
    const end = (answer: boolean) => {
      no.onclick = doIt.onclick = dialog.onclose = null;
      dialog.close();
      resolve(answer);
    };
    no.onclick = () => end(false);
    doIt.onclick = () => end(true);
    dialog.onclose = () => end(false);
    dialog.showModal();
    no.focus();
  });
}
