// Shows a refusal of an act that no form sent, above the section that it belongs to.

import { Refused } from "../../page/api.js";
import { troubleCard } from "./trouble.js";

// Does *act*. A refusal is shown in *element*, with a button to do it again where that may help; returns false then.
export async function attempt(element, act) {
  element.querySelector(":scope > .trouble")?.remove();
  try {
    await act();
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    const card = troubleCard(error, () => attempt(element, act));
    card.querySelector("details")?.setAttribute("open", "");
    element.prepend(card);
    return false;
  }
  return true;
}
