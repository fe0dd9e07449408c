"""A page on which a person goes through doubtful clips with two keys, and saves the table again."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

from evc.format.errors import InputError
from evc.models.progress import Progress
from evc.models.report.sounds import small
from evc.models.timbre.clips import MOST_TRANSIENT, TABLE, Clip
from evc.models.timbre.spectra import CLIP_SECONDS
from evc.models.training.whole import whole

PAGE = "clips.html"
DOUBTFUL_DB = 4.0  # either side of the score from which on clips are dropped
MOST = 200  # clips on the page, the most doubtful ones
_KBPS = 32.0

_TEMPLATE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Doubtful clips</title>
<style>
body { font: 16px system-ui, sans-serif; max-width: 40em; margin: 2em auto; padding: 0 1em }
li { padding: .3em; list-style: none; display: flex; gap: 1em; align-items: center }
li.now { background: #def } .no { opacity: .45 } ul { padding: 0 } audio { height: 2em } b { width: 3em }
</style>
<h1>Doubtful clips</h1>
<p><kbd>K</kbd> keeps, <kbd>D</kbd> drops, and the next one plays; arrows move, space plays again. What sounds the same
all the time is to be kept. Then <button id="save">save the table</button> over TABLE, and train.</p>
<ul id="list"></ul>
<script>
const all = ALL, shown = SHOWN, sounds = SOUNDS;
let at = 0;
const list = document.getElementById("list");
shown.forEach((row, i) => {
  const line = document.createElement("li"), mark = document.createElement("b");
  const audio = document.createElement("audio"), name = document.createElement("span");
  audio.controls = true; audio.preload = "none"; audio.src = sounds[i];
  name.textContent = `${all[row][0]}, ${all[row][1]} s: ${all[row][2]} dB`;
  line.append(mark, audio, name); list.append(line); line.onclick = () => go(i, false);
});
function draw() {
  shown.forEach((row, i) => {
    const line = list.children[i];
    line.className = (i == at ? "now " : "") + (all[row][4] ? "" : "no");
    line.firstChild.textContent = all[row][4] ? "keep" : "drop";
  });
}
function go(to, play = true) {
  if (!shown.length) return;
  list.children[at].children[1].pause();
  at = Math.max(0, Math.min(shown.length - 1, to)); draw();
  list.children[at].scrollIntoView({block: "center"});
  if (play) { const audio = list.children[at].children[1]; audio.currentTime = 0; audio.play(); }
}
addEventListener("keydown", event => {
  const key = event.key.toLowerCase();
  if (key == "k" || key == "d") { all[shown[at]][4] = key == "k" ? 1 : 0; go(at + 1); }
  else if (key == "arrowdown") go(at + 1); else if (key == "arrowup") go(at - 1); else if (key == " ") go(at);
  else return;
  event.preventDefault();
});
document.getElementById("save").onclick = () => {
  const quoted = text => /[",\\n]/.test(text) ? '"' + text.replaceAll('"', '""') + '"' : text;
  const lines = all.map(row => [quoted(row[0]), ...row.slice(1)].join(","));
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob(["file,start,score,level,keep\\n" + lines.join("\\n") + "\\n"]));
  link.download = "clips.csv"; link.click();
};
draw();
</script></html>
"""


def doubtful(clips: Sequence[Clip]) -> list[int]:
    """Which clips a person should hear, by their places in the table."""
    apart = np.array([abs(clip.score - MOST_TRANSIENT) for clip in clips])
    return sorted(int(row) for row in np.argsort(apart, kind="stable")[:MOST] if apart[row] <= DOUBTFUL_DB)


def write_page(folder: Path, out: Path, clips: Sequence[Clip], progress: Progress | None = None) -> Path:
    """Write the page of the doubtful ones among clips of sound files below `folder`. Raises InputError where one cannot
    be read any more."""
    shown, sounds = doubtful(clips), []
    for number, row in enumerate(shown):
        try:
            with soundfile.SoundFile(folder / clips[row].file) as file:
                file.seek(round(clips[row].start * file.samplerate))
                audio = file.read(round(CLIP_SECONDS * file.samplerate), dtype="float32", always_2d=True)
                kind, data = small(audio / max(float(np.abs(audio).max(initial=0)), 1e-3), file.samplerate, _KBPS)
        except (soundfile.SoundFileError, RuntimeError) as error:
            raise InputError(f"{clips[row].file}: {error}") from error
        sounds.append(f"data:{kind};base64,{base64.b64encode(data).decode()}")
        if progress is not None:
            progress(number + 1, len(shown))
    rows = [[clip.file, clip.start, clip.score, clip.level, int(clip.keep)] for clip in clips]
    text = _TEMPLATE.replace("TABLE", html.escape(str(out / TABLE)))
    for name, value in (("SHOWN", shown), ("SOUNDS", sounds), ("ALL", rows)):
        text = text.replace(f"= {name}", "= " + json.dumps(value).replace("</", "<\\/"), 1)
    with whole(out / PAGE) as partial:
        partial.write_text(text, encoding="utf-8")
    return out / PAGE
