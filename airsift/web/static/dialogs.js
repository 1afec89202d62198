// Dialogs with a form. What was typed stays when the server refuses it, or is away.

import { el, say } from "./text.js";

// Shows a dialog; `submit(values)` does its work, and may throw an error that is shown in it.
// Resolves with what `submit` returned, or null if the dialog was closed.
export function openDialog({ title, text = "", body = [], fields = [], after = null, action, danger = false, submit }) {
  const inputs = new Map(fields.map(({ name, value = "", label, ...more }) => [name, { label, input: el("input", { name, value, autocomplete: "off", ...more }) }]));
  const problem = el("p", { class: "wrong", role: "alert" });
  const send = el("button", { class: `button ${danger ? "danger" : "primary"}`, text: action });
  const cancel = el("button", { class: "button", type: "button", text: "Cancel", onclick: () => dialog.close() });
  const form = el("form", { class: "form" }, el("h2", { text: title }), text ? el("p", { class: "dim", text }) : null, ...body,
    ...[...inputs.values()].map(({ label, input }) => el("label", {}, el("span", { text: label }), input)), after, problem,
    el("div", { class: "actions" }, cancel, send));
  const dialog = el("dialog", { class: "ask", "aria-label": title }, form);
  document.body.append(dialog);
  return new Promise((resolve) => {
    let result = null;
    form.onsubmit = async (event) => {
      event.preventDefault();
      if (send.disabled) return;
      send.disabled = true;
      say(problem, "");
      try {
        result = await submit(Object.fromEntries([...inputs].map(([name, { input }]) => [name, input.value.trim()])));
        dialog.close();
      } catch (error) {
        say(problem, error.message);
      }
      send.disabled = false;
    };
    dialog.onclose = () => {
      dialog.remove();
      resolve(result);
    };
    dialog.showModal();
    (inputs.values().next().value?.input ?? cancel).focus();
    inputs.values().next().value?.input.select();
  });
}
