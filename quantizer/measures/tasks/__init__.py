"""Measures of tasks with a right answer: HellaSwag, WinoGrande, multiple choice."""
