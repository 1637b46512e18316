"""What goes wrong between a pipeline and the pull request it comments on.

CommentError
├── NotInPipeline        this is no pipeline, or it lacks a variable
├── NotOnAPullRequest    a pipeline, but not one of a pull request
├── CommentRefused       the server understood, and does not want it
└── CommentNotSent       the server cannot be reached, or fails; again later
"""

from __future__ import annotations

from rehost.errors import RehostError


class CommentError(RehostError):
    """No comment was made or changed."""


class NotInPipeline(CommentError):
    template = "there is no pull request to comment on: {what}"


class NotOnAPullRequest(CommentError):
    template = "this pipeline does not run for a pull request ({what}): there is nothing to comment on"


class CommentRefused(CommentError):
    template = "{host} refused the comment with HTTP {status}: {message}; {remedy}"


class CommentNotSent(CommentError):
    template = (
        "{host} did not take the comment: {reason}; the same command can be run again: it makes no second comment"
    )
    retryable = True
