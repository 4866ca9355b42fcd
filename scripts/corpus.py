"""Text of unpacked Debian packages as one .jsonl file a domain: the text half of corpus.sh.

python3 scripts/corpus.py PACKAGES.tsv UNPACKED OUT MEGABYTES LOCK.json REQUEST
PACKAGES.tsv has lines of domain, package, version, sha256; a package lies in UNPACKED/<sha256>.
"""

import gzip
import hashlib
import html.parser
import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

SHORTEST, LONGEST = 400, 400_000  # bytes of one document
SOURCE_DIRECTIVE = re.compile(rb"^\.so\s+\S+\s*$", re.MULTILINE)


class HtmlText(html.parser.HTMLParser):
    """Collects what a reader sees: no scripts, navigation or link marks; white space kept inside <pre> only."""

    VOID = {"br", "hr", "img", "input", "link", "meta", "col", "area", "base", "wbr", "source"}
    HIDDEN = {"script", "style", "head", "nav", "footer", "svg"}
    HIDDEN_CLASSES = {"sphinxsidebar", "related", "navheader", "navfooter", "headerlink", "toc", "NAVHEADER",
                      "NAVFOOTER", "TOC", "clearer", "footer"}
    BLOCKS = {"p", "div", "h1", "h2", "h3", "h4", "h5", "h6", "li", "ul", "ol", "dl", "dt", "dd", "table", "tr", "pre",
              "blockquote", "section", "article", "br", "hr"}

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.parts, self.open, self.pre = [], [], 0

    def hidden(self):
        return bool(self.open) and self.open[-1][1]

    def handle_starttag(self, tag, attributes):
        if tag in self.BLOCKS:
            self.parts.append("\n")
        if tag in self.VOID:
            return
        attributes = dict(attributes)
        hide = (self.hidden() or tag in self.HIDDEN or attributes.get("role") == "navigation"
                or bool(self.HIDDEN_CLASSES & set((attributes.get("class") or "").split())))
        self.open.append((tag, hide))
        self.pre += tag == "pre"

    def handle_startendtag(self, tag, attributes):
        if tag in self.BLOCKS:
            self.parts.append("\n")

    def handle_endtag(self, tag):
        if any(tag == name for name, _ in self.open):  # closes what HTML lets its authors leave open
            while True:
                name, _ = self.open.pop()
                self.pre -= name == "pre"
                if name == tag:
                    break
        if tag in self.BLOCKS:
            self.parts.append("\n")
        elif tag in ("td", "th"):
            self.parts.append(" ")

    def handle_data(self, data):
        if not self.hidden():
            self.parts.append(data if self.pre else re.sub(r"\s+", " ", data))

    def text(self):
        lines = [line.rstrip() for line in "".join(self.parts).split("\n")]
        return re.sub(r"\n{3,}", "\n\n", "\n".join(line if line[:2] == "  " else line.lstrip() for line in lines)).strip() + "\n"


def from_html(data, _):
    parser = HtmlText()
    parser.feed(data.decode("utf-8"))
    parser.close()
    return parser.text()


def from_pod(data, _):
    """Perl's documentation keeps its markup but for the commands."""
    text = re.sub(r"(?m)^=(head\d|item|over|back|begin|end|for|encoding|cut|pod)\b ?", "", data.decode("utf-8"))
    return re.sub(r"\n{3,}", "\n\n", text)


def from_manual(data, groff):
    """A manual page as a terminal shows it, without bold and underline."""
    if SOURCE_DIRECTIVE.fullmatch(data.strip()):
        return ""  # another page's name
    data.decode("utf-8")
    command = [*groff["command"], "-Kutf8", "-mandoc", "-t", "-Tutf8", "-P-c", "-P-b", "-P-u", "-P-o", "-rLL=92n"]
    page = subprocess.run(command, input=data, capture_output=True, env=groff["environment"], check=False)
    if page.returncode:
        raise RuntimeError(f"groff ended with {page.returncode}: {page.stderr.decode(errors='replace')[:500]}")
    return re.sub(r"\n{3,}", "\n\n", page.stdout.decode("utf-8")).strip("\n") + "\n"


def from_plain(data, _):
    return data.decode("utf-8")


def reader(domain, path):
    """The function that makes text of a file of a domain; None where the file does not belong there."""
    name = path.name[:-3] if path.name.endswith(".gz") else path.name
    suffix = Path(name).suffix
    if domain == "manuals":
        good = "/man/man" in str(path) and "/man/man0" not in str(path)
        return from_manual if good and not path.is_symlink() else None
    if domain == "headers":
        return from_plain if "/include/" in str(path) and suffix in ("", ".h", ".hpp", ".hxx", ".ipp", ".tcc") else None
    if domain == "python":
        return from_plain if suffix == ".py" else None
    if re.match(r"(genindex|py-modindex|modindex|search|bookindex|biblio|copyright|changelog|NEWS|README\.Debian)", name):
        return None
    if suffix == ".html" and path.with_suffix(".txt").exists():
        return None  # the same text twice
    return {".html": from_html, ".htm": from_html, ".txt": from_plain, ".rst": from_plain, ".adoc": from_plain,
            ".pod": from_pod}.get(suffix)


def groff_of(unpacked, packages):
    """groff of the package list, run where it lies; the machine's own where the list has none."""
    tools = [unpacked / p["sha256"] for p in packages if p["domain"] == "tool"]
    home = next((t for t in tools if (t / "usr/bin/groff").exists()), None)
    environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "GROFF_NO_SGR": "1"}
    if home is None:
        return {"command": ["groff"], "environment": environment}
    share = next((home / "usr/share/groff").glob("[0-9]*"))
    libraries = [str(lib) for t in tools for lib in (t / "usr/lib").glob("*-linux-gnu*")]
    environment |= {"PATH": f"{home}/usr/bin:/usr/bin:/bin", "GROFF_FONT_PATH": str(share / "font"),
                    "GROFF_TMAC_PATH": str(share / "tmac"), "LD_LIBRARY_PATH": ":".join(libraries)}
    return {"command": [str(home / "usr/bin/groff")], "environment": environment}


def candidates(domain, packages, unpacked):
    """(file, name, reader) of a domain in an order that no package or letter leads."""
    found = []
    for p in packages:
        if p["domain"] != domain:
            continue
        folder = unpacked / p["sha256"]
        for path in folder.rglob("*"):
            read = reader(domain, path) if path.is_file() and not path.is_symlink() else None
            if read:
                found.append((path, f"{p['package']}/{path.relative_to(folder)}", read))
    return sorted(found, key=lambda f: hashlib.sha256(f[1].encode()).digest())


class Domain:
    """Writes the documents of one domain until its share of bytes is full, and counts what it leaves out."""

    def __init__(self, name, out, share):
        self.name, self.share, self.file = name, share, open(out / f"{name}.jsonl", "w", encoding="utf-8")
        self.counts = {"documents": 0, "bytes": 0, "not_utf8": 0, "too_short": 0, "too_long": 0, "repeated": 0}

    def full(self):
        return self.counts["bytes"] >= 0.98 * self.share

    def add(self, name, text, seen):
        data = text.encode()
        digest = hashlib.sha256(data).digest()
        if len(data) < SHORTEST:
            self.counts["too_short"] += 1
        elif len(data) > LONGEST or self.counts["bytes"] + len(data) > self.share:
            self.counts["too_long"] += 1
        elif digest in seen:
            self.counts["repeated"] += 1
        else:
            seen.add(digest)
            self.counts["documents"] += 1
            self.counts["bytes"] += len(data)
            record = {"text": text, "domain": self.name, "source": name}
            self.file.write(json.dumps(record, ensure_ascii=False) + "\n")


def text_of(candidate, groff):
    path, name, read = candidate
    data = path.read_bytes()
    try:
        return read(gzip.decompress(data) if path.suffix == ".gz" else data, groff)
    except UnicodeDecodeError:
        return None


def write_domain(domain, found, groff, seen):
    """Files are read some at a time, so that no more than one such part is read in vain."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for first in range(0, len(found), 64):
            if domain.full():
                break
            part = found[first:first + 64]
            for candidate, text in zip(part, pool.map(lambda c: text_of(c, groff), part)):
                if text is None:
                    domain.counts["not_utf8"] += 1
                elif not domain.full():
                    domain.add(candidate[1], text, seen)
    domain.file.close()


def interleave(out, names):
    """One file with the documents of all domains in an order that none leads, so that every part of it holds them all."""
    lines = [line for name in names for line in open(out / f"{name}.jsonl", "rb")]
    (out / "corpus.jsonl").write_bytes(b"".join(sorted(lines, key=lambda line: hashlib.sha256(line).digest())))
    for name in names:
        (out / f"{name}.jsonl").unlink()


def main():
    packages_file, unpacked, out, megabytes, lock, request = sys.argv[1:]
    keys = ("domain", "package", "version", "sha256")
    packages = [dict(zip(keys, line.split("\t"))) for line in Path(packages_file).read_text().splitlines()]
    unpacked, out = Path(unpacked), Path(out)
    out.mkdir(parents=True)
    groff, seen, report = groff_of(unpacked, packages), set(), {}
    names = sorted({p["domain"] for p in packages} - {"tool"})
    for name in names:
        domain = Domain(name, out, int(megabytes) * 1_000_000 // len(names))
        write_domain(domain, candidates(name, packages, unpacked), groff, seen)
        report[name] = domain.counts
        report[name]["sha256"] = hashlib.sha256((out / f"{name}.jsonl").read_bytes()).hexdigest()
        left_out = ", ".join(f"{n} {k.replace('_', ' ')}" for k, n in domain.counts.items() if k not in ("documents", "bytes", "sha256") and n)
        print(f"{name}: {domain.counts['documents']} documents, {domain.counts['bytes'] / 1e6:.1f} MB"
              + (f" (left out: {left_out})" if left_out else ""))
        if not domain.counts["documents"]:
            sys.exit(f"the domain '{name}' has no text: none of its packages could be had")
    interleave(out, names)
    content = {"request": request, "megabytes": int(megabytes), "packages": packages, "domains": report}
    Path(lock).write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
