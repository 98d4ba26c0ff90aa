// Makes pictures small before they are sent, and keeps them here until they have arrived. Without it the form
// sends them itself, as they are.
"use strict";

{
  const form = document.querySelector("form.photo");
  const said = form.querySelector("output"), input = form.querySelector("input");
  const SIDE = 1280, QUALITY = 0.6, KEPT_MS = 24 * 3600e3, SEND_MS = 300e3, AGAIN_MS = [5e3, 15e3, 60e3];
  const here = "photo " + form.dataset.case;
  const read = (key) => { try { return JSON.parse(localStorage.getItem(key)) || []; } catch (e) { return []; } };
  let queue = read(here).filter((one) => one.at > Date.now() - KEPT_MS);
  let busy = false, tries = 0, saved = true;

  const save = () => {
    try {
      queue.length ? localStorage.setItem(here, JSON.stringify(queue)) : localStorage.removeItem(here);
      saved = true;
    } catch (e) { saved = false; } // full or forbidden: then only as long as the page is open
  };
  const say = (text) => { said.textContent = text; };

  const asItIs = (file) => new Promise((done, failed) => {
    const reader = new FileReader();
    reader.onload = () => done(reader.result);
    reader.onerror = failed;
    reader.readAsDataURL(file);
  });
  const small = async (file) => {
    try {
      const picture = await createImageBitmap(file, {imageOrientation: "from-image"});
      const scale = Math.min(1, SIDE / Math.max(picture.width, picture.height));
      const canvas = document.createElement("canvas");
      canvas.width = Math.round(picture.width * scale);
      canvas.height = Math.round(picture.height * scale);
      canvas.getContext("2d").drawImage(picture, 0, 0, canvas.width, canvas.height);
      return canvas.toDataURL("image/jpeg", QUALITY);
    } catch (e) { return asItIs(file); }
  };
  const bytes = (url) => Uint8Array.from(atob(url.slice(url.indexOf(",") + 1)), (one) => one.charCodeAt(0));

  const post = async (url) => {
    const body = new FormData(), stop = new AbortController();
    body.append("photo", new Blob([bytes(url)]), "photo");
    const timer = setTimeout(() => stop.abort(), SEND_MS);
    try {
      return await fetch(form.action, {method: "POST", body, redirect: "manual", signal: stop.signal});
    } finally { clearTimeout(timer); }
  };
  const NEVER = [400, 409, 413, 415, 422], EXPIRED = [403, 404, 410];

  const send = async () => {
    if (busy || !queue.length) return;
    busy = true;
    let problem = "";
    try {
      while (queue.length) {
        say(`正在发送，还有 ${queue.length} 张… sending`);
        const answer = await post(queue[0].url);
        if (EXPIRED.includes(answer.status)) return say("链接已过期：照片留在本机，从新的消息打开时会发送 kept for a new link");
        if (NEVER.includes(answer.status)) problem = "有照片没有被收下：请刷新本页再试 not accepted";
        else if (answer.type !== "opaqueredirect") throw new Error(answer.status);
        queue.shift();
        save();
        tries = 0;
      }
      say(problem || "照片已送到 received");
      const typing = [...document.querySelectorAll("input[name=note]")].some((one) => one.value);
      if (!problem && !typing) location.reload();
    } catch (e) {
      say(saved ? "没有信号：照片已存在本机，恢复后自动发送；再打开本页也会发送 saved here, will be sent"
        : "没有信号：请不要关闭本页，恢复后自动发送 keep this page open");
      setTimeout(send, AGAIN_MS[Math.min(tries++, AGAIN_MS.length - 1)]);
    } finally { busy = false; }
  };

  const take = async () => {
    const files = [...input.files];
    if (!files.length) return;
    say("正在缩小照片… making it small");
    for (const file of files) queue.push({at: Date.now(), url: await small(file)});
    input.value = "";
    save();
    await send();
  };

  try { // what nobody came back for
    for (const key of Object.keys(localStorage)) {
      if (key.startsWith("photo ") && !read(key).some((one) => one.at > Date.now() - KEPT_MS)) localStorage.removeItem(key);
    }
  } catch (e) { /* forbidden */ }
  input.multiple = true;
  input.addEventListener("change", take);
  form.addEventListener("submit", (event) => { event.preventDefault(); take(); });
  addEventListener("online", send);
  if (queue.length) form.closest("details").open = true;
  send();
}
