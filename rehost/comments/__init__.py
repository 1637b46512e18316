"""One comment on a pull request that is made once and then kept up to date, as GitHub and GitLab want it."""

from rehost.comments._errors import CommentError, CommentNotSent, CommentRefused, NotInPipeline, NotOnAPullRequest
from rehost.comments._places import Place, find_place
from rehost.comments._sticky import Posted, is_mark, post

__all__ = [
    "CommentError",
    "CommentNotSent",
    "CommentRefused",
    "NotInPipeline",
    "NotOnAPullRequest",
    "Place",
    "Posted",
    "find_place",
    "is_mark",
    "post",
]
