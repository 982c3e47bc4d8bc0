import gc

import pytest

from distill_nb.runtime import imports


def test_garbage_is_collected_again_after_an_import_and_after_one_that_fails():
    assert gc.isenabled()
    with imports.uncollected():
        assert not gc.isenabled()
        with imports.uncollected():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(ImportError), imports.uncollected():
        import no_such_library  # noqa: F401
    assert gc.isenabled()
