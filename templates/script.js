// Every page works without this file. It keeps what is shown fresh, follows logs, and listens to the keyboard.
(() => {
  'use strict';
  const one = (selector, within = document) => within.querySelector(selector);
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];

  // ---- Times -------------------------------------------------------------------------------------------------------
  const length = s => s < 60 ? `${s} s`
    : s < 600 && s % 60 ? `${Math.floor(s / 60)} min ${s % 60} s`
    : s < 3600 ? `${Math.floor(s / 60)} min`
    : s < 86400 ? `${Math.floor(s / 3600)} h`
    : s < 172800 ? '1 day' : `${Math.floor(s / 86400)} days`;
  function tellTimes() {
    for (const time of all('time.ago')) {
      const past = Math.round((Date.now() - Date.parse(time.dateTime)) / 1000);
      if (!Number.isNaN(past)) time.textContent = past < 5 ? 'just now' : `${length(past)} ago`;
    }
    for (const time of all('time.since')) {
      const past = Math.max(0, Math.round((Date.now() - Date.parse(time.dateTime)) / 1000));
      if (!Number.isNaN(past)) time.textContent = length(past);
    }
  }
  setInterval(() => { if (!document.hidden) tellTimes(); }, 1000);

  // ---- Parts of the page that change: asked for again, and put in place --------------------------------------------
  let asking = false, again = false;
  async function refresh() {
    if (asking) { again = true; return; }
    asking = true;
    try {
      const answer = await fetch(location.href, { headers: { 'x-refresh': '1' }, credentials: 'same-origin' });
      if (answer.status === 401) { location.reload(); return; }
      if (!answer.ok) return;
      const fresh = new DOMParser().parseFromString(await answer.text(), 'text/html');
      for (const old of all('[data-live]')) {
        const now = fresh.getElementById(old.id);
        if (!now || now.innerHTML === old.innerHTML || old.contains(document.activeElement) && document.activeElement.matches('input,select,textarea')) continue;
        old.replaceWith(document.adoptNode(now));
      }
      dress();
      document.title = fresh.title;
    } catch { /* The next sign of change asks again. */ } finally {
      asking = false;
      if (again) { again = false; setTimeout(refresh, 300); }
    }
  }
  const events = document.body.dataset.events;
  if (events) {
    const source = new EventSource(events);
    let first = true;
    source.onmessage = source.onopen = event => {
      // What changed while nobody listened is asked for as well.
      if (event.type === 'open' && first) { first = false; return; }
      refresh();
    };
    for (const name of ['deploys', 'state', 'changed', 'end']) source.addEventListener(name, refresh);
    addEventListener('pagehide', () => source.close());
  }
  const every = Number(document.body.dataset.every);
  if (every) setInterval(() => { if (!document.hidden) refresh(); }, every * 1000);

  // ---- Colours of terminals ----------------------------------------------------------------------------------------
  const sequence = /\x1b(?:\[([0-9;:]*)([@-~])|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[^[\]]|$)/g;
  function code(style, numbers) {
    for (let at = 0; at < numbers.length; at++) {
      const n = numbers[at];
      if (n === 0) style = {};
      else if (n === 1) style.b = 1;
      else if (n === 2) style.d = 1;
      else if (n === 3) style.i = 1;
      else if (n === 4) style.u = 1;
      else if (n === 22) { delete style.b; delete style.d; }
      else if (n === 23) delete style.i;
      else if (n === 24) delete style.u;
      else if (n >= 30 && n <= 37) style.c = n - 30;
      else if (n === 39) delete style.c;
      else if (n >= 90 && n <= 97) style.c = n - 82;
      else if (n >= 40 && n <= 47) style.k = n - 40;
      else if (n >= 100 && n <= 107) style.k = n - 92;
      else if (n === 49) delete style.k;
      else if (n === 38 || n === 48) {
        const to = numbers[at + 1] === 5 ? numbers[at + 2] : -1;
        if (n === 38 && to >= 0 && to < 16) style.c = to;
        at += numbers[at + 1] === 5 ? 2 : 4;
      }
    }
    return style;
  }
  function paint(into, text, style) {
    text = text.replace(/\r+$/, '');
    text = text.slice(text.lastIndexOf('\r') + 1);
    const put = piece => {
      piece = piece.replace(/[\x00-\x08\x0b-\x1f\x7f-\x9f]/g, '');
      if (!piece) return;
      const names = Object.keys(style).map(key => key === 'c' ? `fg${style.c}` : key === 'k' ? `bg${style.k}` : key);
      if (!names.length) return into.append(piece);
      const span = document.createElement('span');
      span.className = names.join(' ');
      span.textContent = piece;
      into.append(span);
    };
    let last = 0;
    for (const match of text.matchAll(sequence)) {
      put(text.slice(last, match.index));
      last = match.index + match[0].length;
      if (match[2] === 'm') style = code({ ...style }, (match[1] || '0').split(/[;:]/).map(Number));
    }
    put(text.slice(last));
    return style;
  }

  // ---- Logs that grow ----------------------------------------------------------------------------------------------
  const MOST_LINES = 20000;
  function grow(log) {
    const follow = one('[data-follow]');
    const status = one('[data-log-state]');
    const filter = one('[data-log-filter]');
    let style = {}, pending = [], drawn = 0;
    const toEnd = () => { log.scrollTop = log.scrollHeight; };
    const wanted = () => !follow || follow.checked;
    function draw() {
      drawn = 0;
      const lines = document.createDocumentFragment();
      for (const data of pending.splice(0)) {
        const line = document.createElement('span');
        line.className = 'l';
        if (data.at) {
          const time = document.createElement('time');
          time.textContent = `${data.at} `;
          line.append(time);
        }
        if (data.who) {
          const who = document.createElement('span');
          who.className = 'who';
          who.textContent = `${data.who} `;
          line.append(who);
        }
        style = paint(line, data.text, style);
        line.append('\n');
        if (filter && filter.value && !line.textContent.toLowerCase().includes(filter.value.toLowerCase())) line.classList.add('off');
        lines.append(line);
      }
      log.classList.remove('empty');
      log.append(lines);
      while (log.childElementCount > MOST_LINES) log.firstElementChild.remove();
      if (wanted()) toEnd();
      search();
    }
    const add = data => {
      pending.push(data);
      drawn ||= requestAnimationFrame(draw);
    };
    const source = new EventSource(log.dataset.stream);
    const take = event => {
      let data = event.data;
      try { data = String(JSON.parse(data)); } catch { /* It is the text itself. */ }
      const parts = log.classList.contains('app') && data.match(/^(\S{19})\S* app\[([^\]]+)\]: (.*)$/s);
      add(parts ? { at: parts[1], who: parts[2], text: parts[3] } : { text: data });
    };
    source.onmessage = take;
    source.addEventListener('line', take);
    source.addEventListener('state', refresh);
    source.addEventListener('end', () => {
      source.close();
      if (status) status.textContent = '';
      refresh();
      setTimeout(refresh, 1500);
    });
    source.onopen = () => { if (status) status.textContent = 'live'; };
    source.onerror = () => { if (status) status.textContent = source.readyState === 2 ? 'ended' : 'connecting…'; };
    addEventListener('pagehide', () => source.close());
    log.addEventListener('wheel', event => { if (follow && event.deltaY < 0) follow.checked = false; }, { passive: true });
    log.addEventListener('scroll', () => {
      if (follow && log.scrollHeight - log.scrollTop - log.clientHeight < 4) follow.checked = true;
    });
    if (follow) follow.addEventListener('change', () => { if (follow.checked) toEnd(); });
    toEnd();
  }

  // ---- Find in a log -----------------------------------------------------------------------------------------------
  const find = one('[data-find]');
  let at = -1;
  function search() {
    if (!find || !find.value && at === -1) return;
    const text = find.value.toLowerCase();
    let hits = 0;
    for (const line of all('.log .l')) {
      const hit = text !== '' && line.textContent.toLowerCase().includes(text);
      line.classList.toggle('hit', hit);
      hits += hit;
    }
    at = text ? Math.min(Math.max(at, 0), Math.max(hits - 1, 0)) : -1;
    const count = one('[data-find-count]');
    if (count) count.textContent = text ? `${hits} ${hits === 1 ? 'line' : 'lines'}` : '';
  }
  function next(step) {
    const hits = all('.log .l.hit');
    if (!hits.length) return;
    for (const line of all('.log .l.at')) line.classList.remove('at');
    at = (at + step + hits.length) % hits.length;
    hits[at].classList.add('at');
    hits[at].scrollIntoView({ block: 'center' });
    const follow = one('[data-follow]');
    if (follow) follow.checked = false;
  }
  if (find) {
    find.addEventListener('input', () => { at = 0; search(); });
    find.addEventListener('keydown', event => {
      if (event.key !== 'Enter') return;
      event.preventDefault();
      next(event.shiftKey ? -1 : 1);
    });
  }

  // ---- Tables: filter and sort -------------------------------------------------------------------------------------
  const worth = cell => {
    const value = cell ? cell.dataset.v ?? cell.textContent.trim() : '';
    return value === '' ? null : Number.isNaN(Number(value)) ? value : Number(value);
  };
  function sort(table, column, down) {
    const rows = [...table.tBodies[0].rows];
    const compare = (a, b) => a === null ? 1 : b === null ? -1
      : (typeof a === 'number' && typeof b === 'number' ? a - b : String(a).localeCompare(String(b))) * (down ? -1 : 1);
    rows.sort((a, b) => compare(worth(a.cells[column]), worth(b.cells[column])));
    table.tBodies[0].append(...rows);
    all('th', table.tHead).forEach((head, index) => {
      if (index === column) head.setAttribute('aria-sort', down ? 'descending' : 'ascending');
      else head.removeAttribute('aria-sort');
    });
    table.dataset.sorted = `${column} ${down ? 1 : 0}`;
    try { sessionStorage.setItem(`sort ${table.id}`, table.dataset.sorted); } catch { /* Then it is forgotten. */ }
  }
  function dressTable(table) {
    if (!table.tHead || table.dataset.dressed) return;
    table.dataset.dressed = '1';
    all('th', table.tHead).forEach((head, index) => {
      if (!head.textContent.trim()) return;
      const button = document.createElement('button');
      button.type = 'button';
      button.textContent = head.textContent;
      head.replaceChildren(button);
      button.addEventListener('click', () => {
        const now = head.getAttribute('aria-sort');
        sort(table, index, now ? now === 'ascending' : head.classList.contains('num'));
      });
    });
    let kept = null;
    try { kept = sessionStorage.getItem(`sort ${table.id}`); } catch { /* As above. */ }
    if (kept) { const [column, down] = kept.split(' ').map(Number); sort(table, column, down === 1); }
  }
  function narrow(field) {
    const text = field.value.trim().toLowerCase();
    let shown = 0;
    for (const row of all(`#${field.dataset.filter} tbody tr`)) {
      row.hidden = text !== '' && !row.textContent.toLowerCase().includes(text);
      shown += !row.hidden;
    }
    const count = one('[data-filter-count]');
    if (count) count.textContent = text ? `${shown} shown` : '';
  }
  for (const field of all('[data-filter]')) {
    field.addEventListener('input', () => narrow(field));
    field.addEventListener('keydown', event => {
      if (event.key !== 'Enter') return;
      const link = one(`#${field.dataset.filter} tbody tr:not([hidden]) a`);
      if (link) { event.preventDefault(); link.click(); }
    });
  }
  const logFilter = one('[data-log-filter]');
  if (logFilter) {
    logFilter.addEventListener('input', () => {
      const text = logFilter.value.toLowerCase();
      for (const line of all('.log .l')) line.classList.toggle('off', text !== '' && !line.textContent.toLowerCase().includes(text));
    });
  }

  // ---- Things to copy ----------------------------------------------------------------------------------------------
  function dressCommand(box) {
    if (one('.copy', box) || !navigator.clipboard) return;
    const text = box.textContent.trim();
    const button = document.createElement('button');
    button.type = 'button';
    button.className = 'copy tiny';
    button.textContent = 'Copy';
    button.addEventListener('click', async () => {
      await navigator.clipboard.writeText(text);
      button.textContent = 'Copied';
      setTimeout(() => { button.textContent = 'Copy'; }, 1500);
    });
    box.append(button);
  }

  // ---- Forms: sent once, and some only when the answer is yes ------------------------------------------------------
  addEventListener('submit', event => {
    const button = event.submitter;
    const question = button && button.dataset.ask;
    if (question && !confirm(question)) { event.preventDefault(); return; }
    setTimeout(() => { for (const each of all('button:not([type=button])', event.target)) each.disabled = true; }, 0);
  });
  addEventListener('pageshow', event => {
    if (event.persisted) for (const each of all('button:disabled:not([data-off])')) each.disabled = false;
  });
  for (const select of all('select[data-go]')) {
    select.addEventListener('change', () => select.form.requestSubmit());
  }

  addEventListener('submit', async event => {
    const form = event.target;
    if (!form.matches('[data-reveal]') || event.defaultPrevented) return;
    event.preventDefault();
    const place = one('[data-value]', form.closest('tr'));
    try {
      const answer = await fetch(form.action, { method: 'POST', headers: { accept: 'application/json' }, body: new URLSearchParams(new FormData(form)), credentials: 'same-origin' });
      const result = await answer.json();
      place.textContent = answer.ok && result.exit_code === 0 ? result.output.replace(/\n$/, '') : result.output || result.error || 'It cannot be shown.';
      form.remove();
    } catch { form.submit(); }
  });

  // ---- Keys --------------------------------------------------------------------------------------------------------
  let waiting = 0;
  const help = one('#keys');
  addEventListener('keydown', event => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const field = event.target.matches('input,select,textarea');
    if (event.key === 'Escape' && field) { event.target.blur(); return; }
    if (field) return;
    if (Date.now() - waiting < 1200) {
      waiting = 0;
      const link = all('a[data-key]').find(each => each.dataset.key === event.key);
      if (link) { event.preventDefault(); link.click(); }
      return;
    }
    if (event.key === 'g') waiting = Date.now();
    else if (event.key === '/') {
      const search = one('[data-search]');
      if (search) { event.preventDefault(); search.focus(); search.select(); }
    } else if (event.key === '?' && help) {
      if (help.open) help.close(); else help.showModal();
    }
  });

  function dress() {
    for (const table of all('table.sorts')) dressTable(table);
    for (const field of all('[data-filter]')) if (field.value) narrow(field);
    for (const box of all('.cmd')) dressCommand(box);
    tellTimes();
  }
  dress();
  for (const log of all('.log[data-stream]')) grow(log);
  for (const log of all('.log[data-end]')) log.scrollTop = log.scrollHeight;
})();
