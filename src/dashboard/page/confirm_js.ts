// Made by tools/dashboard_page.ts.
/** confirm.js */
export const CONFIRM_JS: string = `/** Asks before something is changed. */
import { byId } from "./elements.js";

/** Whether the user agrees. The default of the keyboard is not to. */
export function confirmed(question        , yes        )                   {
  const dialog = byId                   ("confirm");
  byId("confirm-question").textContent = question;
  const [no, doIt] = [byId                   ("confirm-no"), byId                   ("confirm-yes")];
  doIt.textContent = yes;
  return new Promise((resolve) => {
    const end = (answer         ) => {
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
`;
