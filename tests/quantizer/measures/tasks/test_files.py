import struct
from contextlib import suppress
from random import Random

import pytest

from quantizer.errors import DataError, FileFormatError
from quantizer.measures.tasks.files import read_hellaswag, read_multiple_choice, read_winogrande

HELLASWAG = "Cooking: A man cuts an onion and\n2\nflies away.\nsings.\nputs it into the pan.\nis a triangle.\n"
WINOGRANDE = """0,Sarah thanked Maria because _ had helped.,Sarah,Maria,2
1,"The cup, which was full, fell on the mat and _ broke.",cup,mat,1
2,no blank here,a,b,1
3,_ and a bad answer,a,b,3
"""


def choices(path, tasks):
    def text(value):
        return struct.pack("<I", len(value.encode())) + value.encode()

    bodies = [
        text(question)
        + struct.pack("<I", len(answers))
        + b"".join(map(text, answers))
        + struct.pack(f"<{len(answers)}i", *(int(i == gold) for i in range(len(answers))))
        + struct.pack("<I", 0)
        for question, answers, gold in tasks
    ]
    head = 4 + 4 * len(tasks)
    positions = [head + sum(map(len, bodies[:i])) for i in range(len(bodies))]
    path.write_bytes(struct.pack(f"<I{len(tasks)}I", len(tasks), *positions) + b"".join(bodies))
    return path


def test_hellaswag_has_six_lines_a_task(tmp_path):
    path = tmp_path / "hellaswag.txt"
    path.write_text(HELLASWAG)
    (task,) = read_hellaswag(path)
    assert task.question == "Cooking: A man cuts an onion and"
    assert task.answers[2] == "puts it into the pan."
    assert task.right == {2}
    path.write_text(HELLASWAG + "one more line\n")
    with pytest.raises(DataError, match="7 lines"):
        read_hellaswag(path)
    path.write_text(HELLASWAG.replace("2", "4"))
    with pytest.raises(DataError, match="gold index"):
        read_hellaswag(path)


def test_winogrande_reads_quotes_and_leaves_out_what_is_no_task(tmp_path):
    path = tmp_path / "winogrande.csv"
    path.write_text(WINOGRANDE)
    first, second = read_winogrande(path)
    assert (first.first, first.second) == ("Sarah thanked Maria because ", " had helped.")
    assert (first.choices, first.right) == (("Sarah", "Maria"), 1)
    assert second.first == "The cup, which was full, fell on the mat and "
    path.write_text("nothing\n")
    with pytest.raises(DataError, match="no line"):
        read_winogrande(path)


def test_multiple_choice_reads_all_or_draws_some(tmp_path):
    tasks = [(f"question {i}", ("a", "bb", "ccc"), i % 3) for i in range(20)]
    path = choices(tmp_path / "tasks.bin", tasks)
    found = read_multiple_choice(path)
    assert [task.question for task in found] == [question for question, _, _ in tasks]
    assert [task.right for task in found] == [{gold} for _, _, gold in tasks]
    drawn = read_multiple_choice(path, 5)
    assert len({task.question for task in drawn}) == 5
    assert set(drawn) <= set(found)


def test_a_damaged_binary_is_read_or_refused(tmp_path):
    path = choices(tmp_path / "tasks.bin", [(f"question {i}", ("a", "bb"), 0) for i in range(20)])
    whole, rng = path.read_bytes(), Random(2)
    for _ in range(300):
        data = bytearray(whole)
        data[rng.randrange(len(data))] = rng.randrange(256)
        path.write_bytes(data[: rng.randrange(len(data)) if rng.random() < 0.3 else None])
        with suppress(FileFormatError):
            read_multiple_choice(path, rng.choice([None, 7]))
